"""Explanations: the parts of a stage add up to its price, and supports are what certificates say."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from framework.errors import UserError
from framework.formats.native import parse
from framework.layouts.explain import explain
from framework.layouts.what_if import DEVICE, LINK, MEMORY, changes, what_if
from framework.model.device import Device
from framework.model.device_chain import DeviceChain
from framework.model.exact import exact_stage_costs
from framework.model.graph import ModelGraph, PricedCosts
from framework.portfolio.constraints import Constraints
from framework.portfolio.records import StageCost
from framework.portfolio.result import Result
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.registry import load_plugins
from framework.report.console import printed
from framework.report.splits.explanation import print_explanation
from framework.testing.instances import random_instance
from tests.layouts.graphs import layered, of_edges, result_of

DEVICE_OF = Device(name="test", link_bandwidth=1e6, link_latency=1e-5, fast_memory=3)


def priced(graph: ModelGraph, stage_of: list[int], stages: int, device: Device | None = DEVICE_OF) -> Result:
    costs = exact_stage_costs(graph, device, np.array(stage_of), stages)
    rows = tuple(map(StageCost.of, costs))
    return replace(
        result_of(graph, stage_of, stages),
        device=device,
        stage_costs=rows,
        incumbent=max(row.total for row in rows),
    )


def test_the_parts_of_the_slowest_stage_add_up() -> None:
    rng = np.random.default_rng(3)
    graph = layered(2, seconds=[float(value) / 1000 for value in rng.integers(1, 9, 15)])
    result = priced(graph, [0] * 4 + [1] * 5 + [2] * 6, 3)
    found = explain(result, graph)
    assert found.cost.total == max(row.total for row in result.stage_costs)
    assert sum(part.cost for part in found.work) == pytest.approx(found.cost.work, rel=1e-6)
    assert sum(part.cost for part in found.inbound) == pytest.approx(found.cost.inbound)
    assert sum(part.cost for part in found.outbound) == pytest.approx(found.cost.outbound)
    assert found.held is not None
    assert sum(part.size or 0 for part in found.parameters) == found.held
    assert found.fast_memory == 3
    assert found.cost.overflow == pytest.approx(max(0, found.held - 3) / 1e6)
    costs = [part.cost for part in found.work]
    assert costs == sorted(costs, reverse=True)
    assert found.support is None
    shown = printed(lambda console: print_explanation(found, console))
    assert f"what binds stage {found.stage}" in shown
    assert found.inbound[0].name in shown.replace("\n", "")


def test_transfers_name_the_stages_at_their_other_ends() -> None:
    graph = of_edges(["a", "b", "c", "d"], [(0, 1), (0, 2), (0, 3), (1, 2)], seconds=[1e-3, 9, 1e-3, 1e-3])
    found = explain(priced(graph, [0, 1, 2, 3], 4), graph)
    assert found.stage == 1
    assert [(part.name, part.other, part.size) for part in found.inbound] == [("a", (0,), 1000)]
    assert [(part.name, part.other) for part in found.outbound] == [("b", (2,))]
    # Sent once, however many stages read it.
    found = explain(replace(priced(graph, [0, 1, 2, 2], 3), stage_costs=priced(graph, [1] * 4, 3).stage_costs), graph)
    assert found.stage == 1


def test_a_shared_parameter_is_held_by_each_stage_that_uses_it() -> None:
    document = {
        "format": "pipebound-graph",
        "version": 2,
        "nodes": [
            {"name": f"n{v}", "op": "mm", "flops": 1, "parameter_bytes": 1, "accessed_bytes": 1, "seconds": 1 + v}
            for v in range(3)
        ],
        "tensors": [{"producer": v, "bytes": 1, "consumers": [v + 1]} for v in range(2)],
        "parameters": [{"bytes": 100, "users": [0, 1, 2]}],
    }
    graph = parse(json.dumps(document).encode(), "shared.json")
    found = explain(priced(graph, [0, 1, 1], 2), graph)
    assert found.stage == 1
    assert [(part.name, part.size) for part in found.parameters] == [("n1", 101), ("n2", 1)]
    assert found.held == 102


def test_supports_are_what_certificates_speak_of() -> None:
    load_plugins()
    heavy = of_edges(["a", "b", "c"], [(0, 1), (1, 2)], seconds=[1, 100, 1])
    settings = Settings(device=DEVICE_OF, entry="simple", budget=90, workers=1)
    support = explain(solve(heavy, 2, settings=settings), heavy).support
    assert support is not None
    assert (support.source, support.nodes) == ("simple", ("b",))
    even = of_edges(["a", "b", "c"], [(0, 1), (1, 2)], seconds=[10, 10, 10])
    support = explain(solve(even, 2, settings=settings), even).support
    assert support is not None
    assert support.nodes == ()
    assert "average" in support.words
    # A node between two dear tensors: wherever it is, one of them is paid or its neighbours are there too.
    document = {
        "format": "pipebound-graph",
        "version": 1,
        "cost_unit": "ms",
        "nodes": [{"name": name, "op": "x", "work": 10, "parameter_cost": 0} for name in "abcd"],
        "tensors": [{"producer": v, "cost": 9, "consumers": [v + 1]} for v in range(3)],
    }
    graph = parse(json.dumps(document).encode(), "chain.json")
    for presolve in (True, False):
        chosen = replace(settings, device=None, entry="anchored-cut", presolve=presolve)
        support = explain(solve(graph, 4, settings=chosen), graph).support
        assert support is not None
        assert support.source == "anchored-cut"
        assert set(support.nodes) & {"b", "c"}


def test_only_the_graph_that_was_solved_is_explained() -> None:
    graph = layered(1)
    with pytest.raises(UserError, match="no partition to explain"):
        explain(result_of(graph, [0] * 9, 1), graph)
    with pytest.raises(UserError, match="not the graph that was solved"):
        explain(priced(graph, [0] * 9, 1), layered(2))


def test_what_if_rows_change_one_thing_each() -> None:
    graph = layered(1)
    result = replace(priced(graph, [0] * 9, 2), constraints=Constraints(memory_limit=10))
    rows = {row.name: row for row in changes(result, graph, Settings(device=DEVICE_OF))}
    assert list(rows) == [LINK, MEMORY, DEVICE]
    assert rows[LINK].settings.device == replace(DEVICE_OF, link_bandwidth=2e6)
    assert rows[MEMORY].settings.device == replace(DEVICE_OF, fast_memory=6)
    assert rows[MEMORY].constraints.memory_limit == 20
    assert (rows[DEVICE].stages, rows[DEVICE].settings.device) == (3, DEVICE_OF)
    assert rows[LINK].constraints.memory_limit == rows[DEVICE].constraints.memory_limit == 10
    chain = DeviceChain(devices=(DEVICE_OF, Device(name="other", link_bandwidth=1e6)))
    last = list(changes(priced(graph, [0] * 9, 2), graph, Settings(device=chain)))[-1]
    assert last.settings.device == DeviceChain(devices=(*chain.devices, chain.devices[-1]))
    free = Device(name="free", link_bandwidth=1e6)
    assert [row.name for row in changes(priced(graph, [0] * 9, 2, free), graph, Settings(device=free))] == [
        LINK,
        DEVICE,
    ]


def graph_of(seed: int) -> ModelGraph:
    instance = random_instance(seed, 6)
    return ModelGraph(
        name="random",
        source="random",
        node_names=tuple(f"v{v}" for v in range(instance.n)),
        ops=("",) * instance.n,
        topology=instance.topology,
        costs=PricedCosts(
            unit="ticks",
            work=instance.work,
            parameter_cost=instance.parameter_cost,
            tensor_cost=instance.tensor_cost,
            capacity=int(instance.bounded_capacity),
        ),
    )


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_no_row_gains_more_than_it_is_said_to_at_most(seed: int) -> None:
    load_plugins()
    graph = graph_of(seed)
    settings = Settings(entry="ideal-dp", budget=90, workers=1)
    result = solve(graph, 2, settings=settings)
    rows = what_if(
        result,
        graph,
        settings,
        lambda row: solve(row.graph, row.stages, settings=row.settings, constraints=row.constraints, start=result),
        lambda: False,
    )
    assert [row.name for row in rows] == [LINK, MEMORY, DEVICE]
    for row in rows:
        assert row.gain_found is not None
        assert row.gain_at_most is not None
        assert 0 <= row.gain_found <= row.gain_at_most + 1e-9
        # Solved exactly, so that nothing is left between the two.
        assert row.gain_found == pytest.approx(row.gain_at_most, abs=1e-6)
    assert not what_if(result, graph, settings, lambda row: result, lambda: True)

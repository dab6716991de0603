"""What a memory limit counts: parameters, state and the largest working set; parameters alone in old results."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from framework.errors import UserError
from framework.formats.native import native_text, parse, read, write_native
from framework.model.device import load_device
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.memory import stage_memory
from framework.model.pricing import quantise
from framework.model.problem import Partition, Problem, obeys
from framework.portfolio.constraints import PARAMETERS, RESIDENT, Constraints, constrain, on_instance, why_infeasible
from framework.portfolio.result import Result
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.portfolio.verification import verify_document
from tests.model.test_memory import graph_of

DEVICE = load_device("reference")


def random_graph(seed: int) -> ModelGraph:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 6))
    halves = rng.integers(0, 18, n - 1) / 2
    tensors = [(u, float(halves[u]), [v for v in range(u + 1, n) if rng.random() < 0.5]) for u in range(n - 1)]
    shares = [(float(rng.integers(1, 9)), sorted(rng.permutation(n)[:2].tolist()))]
    columns = [rng.integers(0, 9, n).astype(float).tolist() for _ in range(3)]
    return graph_of(n, tensors, parameters=columns[0], state=columns[1], workspace=columns[2], shared=shares)


@pytest.mark.parametrize("seed", range(12))
def test_what_obeys_is_what_stages_hold(seed: int) -> None:
    graph, k = random_graph(seed), 2
    instance = quantise(graph, DEVICE).instance
    n = graph.topology.n
    counted: list[Literal["resident", "parameters"]] = [RESIDENT, PARAMETERS]
    for limit, counts in itertools.product(range(5, 60, 6), counted):
        constraints = Constraints(memory_limit=limit, memory_counts=counts, same_stage=(("v0", "v1"),))
        problem = Problem(instance=constrain(instance, graph, constraints, k), stages=k)
        none_obeys = True
        for stages in itertools.product(range(k), repeat=n):
            stage, apart = on_instance(problem, np.array(stages, np.int64))
            if apart is not None:
                continue
            held = stage_memory(graph, np.array(stages, np.int64), k)
            most = max(row.resident if counts == RESIDENT else row.parameters for row in held)
            fits = obeys(problem, Partition(stage_of=stage))
            assert fits == (most <= limit)
            none_obeys = none_obeys and not fits
        if not none_obeys:
            assert not why_infeasible(graph, constraints, k)


def chain() -> ModelGraph:
    """Four nodes of 10 bytes of parameters; the second one needs 100 bytes to run."""
    return graph_of(
        4,
        [(v, 4.0, [v + 1]) for v in range(3)],
        parameters=[10.0] * 4,
        state=[0.0, 0.0, 0.0, 30.0],
        workspace=[0.0, 92.0, 0.0, 0.0],
    )


def solved(constraints: Constraints) -> dict[str, Any]:
    result = solve(chain(), 2, settings=Settings(device=DEVICE, entry="ideal-dp"), constraints=constraints)
    document: dict[str, Any] = json.loads(result.to_json())
    return document


def test_old_results_keep_their_meaning() -> None:
    """A limit of 20 bytes is enough for the parameters of two nodes, and for no node that also runs."""
    document = solved(Constraints(memory_limit=20, memory_counts=PARAMETERS))
    assert document["status"] == "optimal"
    constraints = document["constraints"]
    assert constraints["memory_counts"] == PARAMETERS
    del constraints["memory_counts"]
    assert all(check.passed for check in verify_document(document, chain()).checks)
    constraints["memory_counts"] = "resident"
    assert not all(check.passed for check in verify_document(document, chain()).checks)
    constraints["memory_counts"] = "activations"
    with pytest.raises(UserError, match="nothing that a memory limit counts"):
        verify_document(document, chain())


def test_a_limit_counts_what_is_there_at_once() -> None:
    # The second node needs 10 + 100 bytes, 120 with the first one, and 160 with the two behind it.
    for limit, stage_of in ((109, None), (119, None), (120, [0, 0, 1, 1])):
        document = solved(Constraints(memory_limit=limit))
        assert (document["status"], document["stage_of"]) == ("infeasible" if stage_of is None else "optimal", stage_of)
        held = [] if stage_of is None else stage_memory(chain(), np.array(stage_of), 2)
        assert document.get("stage_memory", []) == [row.as_dict() for row in held]
        assert Result.from_json(json.dumps(document)).stage_memory == tuple(held)
        assert all(check.passed for check in verify_document(document, chain()).checks)
    document["stage_memory"][0]["peak_live"] += 1
    assert not all(check.passed for check in verify_document(document, chain()).checks)
    told = why_infeasible(chain(), Constraints(memory_limit=109), 2)
    assert told == "node 'v1' holds 110 bytes, more than the memory limit of 109"


def test_a_limit_counts_shared_parameters_that_no_stage_streams() -> None:
    """The table of 50 bytes fits the fast memory with everything else, so that only the limit counts it."""
    graph = graph_of(4, [(v, 1.0, [v + 1]) for v in range(3)], parameters=[10.0] * 4, shared=[(50.0, [0, 1])])
    assert not len(quantise(graph, DEVICE).instance.shared)
    for limit, stage_of in ((72, [0, 0, 1, 1]), (71, None)):
        settings = Settings(device=DEVICE, entry="ideal-dp")
        result = solve(graph, 2, settings=settings, constraints=Constraints(memory_limit=limit))
        assert result.stage_of == (None if stage_of is None else tuple(stage_of))
        assert all(check.passed for check in verify_document(json.loads(result.to_json()), graph).checks)


def test_state_and_workspace_in_files(tmp_path: Path) -> None:
    graph = chain()
    write_native(graph, tmp_path / "g.graph.json")
    again = read(tmp_path / "g.graph.json")
    assert again.sha256() == graph.sha256()
    document = json.loads(native_text(graph))
    assert document["version"] == 2
    assert document["nodes"][1]["workspace_bytes"] == 92
    assert isinstance(graph.costs, PhysicalCosts)
    plain = replace(graph, costs=replace(graph.costs, state_bytes=np.zeros(4), workspace_bytes=np.zeros(4)))
    assert json.loads(native_text(plain))["version"] == 1
    assert "state_bytes" not in native_text(plain)
    document["version"] = 1
    with pytest.raises(UserError, match="version 1 has no state_bytes"):
        parse(json.dumps(document).encode(), "g")
    document |= {"version": 2, "cost_unit": "ms"}
    with pytest.raises(UserError, match="state_bytes in a graph with a cost_unit"):
        parse(json.dumps(document).encode(), "g")
    del document["cost_unit"]
    document["nodes"][2]["state_bytes"] = -1
    with pytest.raises(UserError, match="state_bytes is -1"):
        parse(json.dumps(document).encode(), "g")
    document["nodes"][2]["state_bytes"] = "many"
    with pytest.raises(UserError, match="state_bytes"):
        parse(json.dumps(document).encode(), "g")

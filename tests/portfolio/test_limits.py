"""Pins and memory limits: what every entry claims of them, held against every assignment of nodes to stages."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework import cli
from framework.errors import UserError
from framework.formats import read_graph
from framework.model.arrays import IntArray
from framework.model.device import Device
from framework.model.graph import ModelGraph, PhysicalCosts, PricedCosts
from framework.model.instance import UNLIMITED
from framework.model.memory import LARGEST_SIZE
from framework.model.pricing import price
from framework.model.problem import Partition, Problem, bottleneck, obeys
from framework.model.topology import build_topology
from framework.portfolio.constraints import Constraints, constrain, on_instance
from framework.portfolio.context.local import run_entry
from framework.portfolio.result import Result
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.portfolio.verification import verify_document, verify_result
from framework.registry import load_plugins, registry
from framework.structure.reduction.dominance import reduce_exact
from framework.structure.reduction.hard_limits import limit_memory
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_instance
from tests.cli.conftest import graph_file

__all__ = ["graph_file"]

Command = Callable[..., tuple[int, str, str]]

load_plugins()


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run the command line in this process; returns exit code, standard output and standard error."""

    def run(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pipebound", *map(str, arguments)])
        try:
            code = cli.run()
        except SystemExit as end:
            code = int(end.code or 0)
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def graph_of(seed: int, max_nodes: int = 6) -> ModelGraph:
    instance = random_instance(seed, max_nodes)
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
            capacity=None if instance.capacity == UNLIMITED else instance.capacity,
        ),
    )


def exhaustive(graph: ModelGraph, k: int, constraints: Constraints) -> int | None:
    """Try every assignment of nodes to stages, straight from what the constraints say; None if none obeys."""
    assert isinstance(graph.costs, PricedCosts)
    priced = price(graph)
    if constraints.memory_limit is not None:
        priced = replace(priced, capacity=UNLIMITED)
    problem = Problem(instance=priced, stages=k)
    index = {name: v for v, name in enumerate(graph.node_names)}
    best: int | None = None
    for stage_of in itertools.product(range(k), repeat=graph.topology.n):
        if any(stage_of[index[name]] != stage for name, stage in constraints.pins):
            continue
        if any(len({stage_of[index[name]] for name in names}) > 1 for names in constraints.same_stage):
            continue
        if constraints.memory_limit is not None:
            held = [0] * k
            for v, stage in enumerate(stage_of):
                held[stage] += int(graph.costs.parameter_cost[v])
            if max(held) > constraints.memory_limit:
                continue
        of_instance = np.empty(graph.topology.n, np.int64)
        of_instance[priced.node_of_input] = stage_of
        try:
            value = bottleneck(problem, Partition(stage_of=of_instance))
        except ValueError:
            continue
        best = value if best is None else min(best, value)
    return best


def constraints_of(graph: ModelGraph, k: int, seed: int) -> Constraints:
    """Draw pins that do not contradict each other, or a limit, or both, now and then with nodes that share a stage."""
    rng = np.random.default_rng([seed, k])
    n, top = graph.topology.n, graph.topology
    # The stages of some partition: sorted along the topological numbers that random instances have.
    assert top.is_topological
    stage_of = np.sort(rng.integers(0, k, n))
    kind = int(rng.integers(0, 3))
    pinned = rng.permutation(n)[: int(rng.integers(1, 4))] if kind != 1 else np.zeros(0, np.int64)
    together = np.flatnonzero(stage_of == stage_of[0])[:2] if rng.random() < 0.3 else np.zeros(0, np.int64)
    assert isinstance(graph.costs, PricedCosts)
    sizes = graph.costs.parameter_cost
    limit = int(rng.integers(int(sizes.max()), int(sizes.sum()) + 1)) if kind != 0 else None
    if sizes.sum() >= LARGEST_SIZE:
        limit = None
    return Constraints(
        pins=tuple((graph.node_names[v], int(stage_of[v])) for v in pinned.tolist()),
        same_stage=(tuple(graph.node_names[v] for v in together.tolist()),) if len(together) > 1 else (),
        memory_limit=limit,
    )


def is_valid(problem: Problem, stage_of: IntArray) -> bool:
    try:
        bottleneck(problem, Partition(stage_of=stage_of))
    except ValueError:
        return False
    return True


@settings(max_examples=120, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_the_constrained_instance_is_the_constrained_problem(seed: int, k: int) -> None:
    graph = graph_of(seed)
    constraints = constraints_of(graph, k, seed)
    problem = Problem(instance=constrain(price(graph), graph, constraints, k), stages=k)
    optimum, expected = brute_force_optimum(problem), exhaustive(graph, k, constraints)
    assert optimum == (problem.instance.largest_cost + 1 if expected is None else expected)
    assert brute_force_optimum(problem.without_limit()) <= optimum
    reduced = Problem(instance=reduce_exact(problem.instance), stages=k)
    after = brute_force_optimum(reduced)
    assert after > reduced.instance.largest_cost if expected is None else after == expected


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_what_obeys_is_what_the_names_say(seed: int, k: int) -> None:
    graph = graph_of(seed, 5)
    constraints = constraints_of(graph, k, seed)
    problem = Problem(instance=constrain(price(graph), graph, constraints, k), stages=k)
    free = Problem(instance=price(graph), stages=k)
    pins = dict(constraints.pins)
    assert isinstance(graph.costs, PricedCosts)
    for stages in itertools.product(range(k), repeat=graph.topology.n):
        stage, apart = on_instance(problem, np.array(stages, np.int64))
        named = dict(zip(graph.node_names, stages, strict=True))
        keeps = all(named[name] == pinned for name, pinned in pins.items()) and all(
            len({named[name] for name in names}) == 1 for names in constraints.same_stage
        )
        held = np.bincount(stages, weights=graph.costs.parameter_cost, minlength=k)
        fits = constraints.memory_limit is None or held.max() <= constraints.memory_limit
        of_instance = np.empty(graph.topology.n, np.int64)
        of_instance[free.instance.node_of_input] = stages
        valid = is_valid(free, of_instance)
        accepted = apart is None and is_valid(problem, stage) and obeys(problem, Partition(stage_of=stage))
        assert accepted == (valid and keeps and fits)


def test_decisions_keep_to_limits() -> None:
    for seed in range(12):
        graph = graph_of(seed, 7)
        constraints = constraints_of(graph, 3, seed)
        problem = Problem(instance=constrain(price(graph), graph, constraints, 3), stages=3)
        optimum = brute_force_optimum(problem)
        for over in ("ideal-dp", "cp-sat"):
            _, board = run_entry(registry.create(f"bisection:over={over}"), problem, seconds=60.0)
            assert board.dual is not None
            assert board.dual.value == optimum, f"{over}, seed {seed}"
            assert not board.over_limit


def test_solve_finds_the_optimum_and_verify_believes_nothing(tmp_path: Path) -> None:
    for seed in (3, 8, 11):
        graph, k = graph_of(seed, 7), 3
        constraints = constraints_of(graph, k, seed)
        expected = exhaustive(graph, k, constraints)
        result = solve(graph, k, constraints=constraints, settings=Settings(budget=20.0))
        again = Result.from_json(result.to_json())
        assert again.as_dict() == result.as_dict()
        assert not result.faults
        assert not result.contradictions
        assert all(check.passed for check in verify_result(again, graph).checks), verify_result(again, graph).checks
        if expected is None:
            assert result.status == "infeasible"
            cheaper = {**again.as_dict(), "dual_bound_ticks": 1, "bounds": []}
            assert any(not check.passed for check in verify_document(cheaper, graph).checks)
            continue
        assert result.status == "optimal"
        assert result.incumbent_ticks == expected
        changes: list[dict[str, object]] = [{"pins": []}, {"memory_limit": None}]
        for change in changes:
            if constraints.as_dict() | change != constraints.as_dict():
                other = {**again.as_dict(), "constraints": constraints.as_dict() | change}
                assert any(not check.passed for check in verify_document(other, graph).checks)
        for name, stage in constraints.pins:
            moved = list(again.stage_of or ())
            moved[graph.node_names.index(name)] = (stage + 1) % k
            tampered = {**again.as_dict(), "stage_of": moved}
            assert any(not check.passed for check in verify_document(tampered, graph).checks)


def chain(sizes: list[int]) -> dict[str, object]:
    return {
        "format": "pipebound-graph",
        "version": 1,
        "name": "chain",
        "cost_unit": "ticks",
        "nodes": [{"name": f"n{v}", "work": 5 + v, "parameter_cost": size} for v, size in enumerate(sizes)],
        "tensors": [{"producer": v, "cost": 1, "consumers": [v + 1]} for v in range(len(sizes) - 1)],
    }


def test_a_result_that_breaks_the_limit_fails(command: Command, tmp_path: Path) -> None:
    file, out = tmp_path / "chain.graph.json", tmp_path / "r.json"
    file.write_text(json.dumps(chain([4, 4, 4, 0, 0])))
    code, told, _ = command("solve", file, "-k", "2", "--memory-limit", "8", "--json")
    assert code == 0
    result = json.loads(told)
    assert result["status"] == "optimal"
    assert result["stage_of"] == [0, 0, 1, 1, 1]
    graph = read_graph(file)
    assert all(check.passed for check in verify_document(result, graph).checks)
    checks = verify_document(result | {"stage_of": [0, 0, 0, 1, 1]}, graph).checks
    assert any(not check.passed and "more than its limit 8" in check.detail for check in checks)
    free = json.loads(command("solve", file, "-k", "2", "-o", out, "--json")[1])
    assert free["stage_of"] == [0, 0, 0, 1, 1]
    code, _, error = command("solve", file, "-k", "2", "--memory-limit", "8", "--start", out)
    assert code == 2
    assert "more than its limit 8" in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["--memory-limit", "3"],
            "obeys the memory limit of 3: node 'n0' holds 4, more than",
        ),
        (["--memory-limit", "5"], "all parameters take up 12, more than 2 stages of 5"),
        (["--memory-limit", "6", "--same-stage", "n0,n1"], "n0, n1, ... must share a stage and hold 8"),
        # The total fits, and so does every node, but no cut of the chain.
        (["--memory-limit", "7"], "no partition obeys the memory limit of 7."),
    ],
)
def test_no_partition_at_all(command: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    file, out = tmp_path / "chain.graph.json", tmp_path / "r.json"
    file.write_text(json.dumps(chain([4, 4, 4, 0, 0])))
    code, told, _ = command("solve", file, "-k", "2", *arguments, "-o", out)
    assert code == 3
    assert words in " ".join(told.split())
    assert json.loads(out.read_text())["status"] == "infeasible"
    assert command("verify", out, "--allow-unproven")[0] == 0


def test_an_entry_that_only_finds_must_keep_to_limits(command: Command, graph_file: Path, tmp_path: Path) -> None:
    plugin = tmp_path / "finder.py"
    plugin.write_text(FINDER)
    free = command("solve", graph_file, "-k", "2", "--with", "test-limits-finder", "--plugin", plugin)
    assert free[0] == 0
    code, _, error = command(
        "solve", graph_file, "-k", "2", "--with", "test-limits-finder", "--plugin", plugin, "--pin", "v1=0"
    )
    assert code == 2
    assert "keeps to no pins and no memory limit" in error
    code, told, _ = command(
        "solve", graph_file, "-k", "2", "--with", "test-limits-pair", "--plugin", plugin, "--pin", "v1=0", "--json"
    )
    assert code == 0
    details = {member["name"]: member["detail"] for member in json.loads(told)["members"]}
    assert details["test-limits-finder"].startswith("skipped")
    assert not details["simple"]


FINDER = """
from dataclasses import dataclass

from framework.bounds import Outcome, Reason, Termination
from framework.contracts import Feature
from framework.portfolio.members import Member
from framework.registry import register_formulation, register_portfolio


@register_formulation("test-limits-finder", features=[Feature.PRIMAL], summary="finds nothing")
@dataclass(frozen=True, slots=True, kw_only=True)
class Finder:
    def bound(self, problem, context):
        return Outcome(termination=Termination(reason=Reason.FINISHED))


@register_portfolio("test-limits-pair", features=[Feature.DUAL], summary="one that bounds, one that finds")
@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    def members(self, problem, workers):
        return (Member(entry="simple"), Member(entry="test-limits-finder"))
"""


def test_pins_hold_through_the_command_line(command: Command, graph_file: Path, tmp_path: Path) -> None:
    out, plot, graph = tmp_path / "r.json", tmp_path / "r.svg", read_graph(graph_file)
    free = json.loads(command("solve", graph_file, "-k", "3", "--json")[1])
    v = next(v for v in range(12) if free["stage_of"][v] == 0 and free["stage_of"][v + 1] == 1)
    pin = f"{graph.node_names[v]}=1"
    code, told, _ = command("solve", graph_file, "-k", "3", "--pin", pin, "-o", out, "--plot", plot, "--json")
    assert code == 0
    result = json.loads(told)
    assert result["status"] == "optimal"
    assert result["stage_of"][v] == 1
    assert len(result["stage_of"]) == len(free["stage_of"])
    assert len(result["stage_costs"]) == 3
    assert result["incumbent_ticks"] >= free["incumbent_ticks"]
    assert result["trajectory"][-1][1:3] == [result["dual_bound"], result["incumbent"]]
    assert sum(row["work"] for row in result["stage_costs"]) == sum(row["work"] for row in free["stage_costs"])
    assert plot.stat().st_size > 0
    assert command("verify", out, "--allow-unproven")[0] == 0
    again = command("solve", graph_file, "-k", "3", "--pin", pin, "--start", out, "--with", "simple", "--json")
    assert json.loads(again[1])["incumbent_ticks"] == result["incumbent_ticks"]
    moved = command("solve", graph_file, "-k", "3", "--pin", pin.replace("=1", "=0"), "--start", out)
    assert moved[0] == 2
    assert "pinned to" in moved[2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--pin", "v1"], "cannot read --pin 'v1'"),
        (["--pin", "v1=x"], "cannot read --pin 'v1=x'"),
        (["--pin", "v99=1"], "there is no node 'v99' (did you mean"),
        (["--pin", "v1=3"], "node 'v1' is pinned to stage 3, outside 0..2"),
        (["--pin", "v1=1", "--pin", "v1=2"], "node 'v1' is pinned to stage 1 and to stage 2"),
        (["--same-stage", "v1,v2", "--pin", "v1=1", "--pin", "v2=2"], "nodes 'v1' and 'v2' must share a stage"),
        (["--pin", "v1=2", "--pin", "v5=0"], "node 'v5' is pinned to stage 0, but comes after 'v1'"),
        (["--memory-limit", "much"], "--memory-limit: cannot read 'much'"),
        (["--memory-limit", "-5"], "--memory-limit: cannot read '-5' (give a size such as 16MiB, 16GB or 1e9)"),
    ],
)
def test_mistakes_are_told(command: Command, graph_file: Path, arguments: list[str], words: str) -> None:
    code, _, told = command("solve", graph_file, "-k", "3", *arguments)
    assert code == 2
    assert words in told
    assert len(told.strip().splitlines()) == 1


def test_prices_without_integers_have_no_memory() -> None:
    graph = graph_of(1)
    assert isinstance(graph.costs, PricedCosts)
    fractional = replace(graph, costs=replace(graph.costs, parameter_cost=np.full(graph.topology.n, 0.5)))
    with pytest.raises(UserError, match="are no integers"):
        constrain(price(fractional), fractional, Constraints(memory_limit=9), 2)


def test_recommend_leaves_out_what_does_not_fit(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "chain.graph.json"
    file.write_text(json.dumps(chain([4, 4, 4, 0, 0])))
    code, told, _ = command("recommend", file, "--stages", "1..4", "--memory-limit", "4", "--json")
    assert code == 0
    choices = json.loads(told)["choices"]
    assert [choice["stages"] for choice in choices] == [3, 4]
    assert [row["stages"] for row in json.loads(told)["left_out"]] == [1, 2]
    # One stage without a limit costs 5 + 6 + 7 + 8 + 9; nodes 2, 3, 4 and what comes in cost 25.
    assert choices[0]["speedup"] == pytest.approx(35 / 25)
    code, told, _ = command("recommend", file, "--stages", "1..2", "--memory-limit", "4")
    assert code == 3
    said = " ".join(told.split())
    assert "Infeasible for k = 2: no partition obeys the memory limit of 4: all parameters take up 12, more" in said


def test_recommend_with_pins(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "chain.graph.json"
    file.write_text(json.dumps(chain([0] * 5)))
    code, told, _ = command("recommend", file, "--stages", "1..3", "--pin", "n1=1", "--json")
    assert code == 0
    answer = json.loads(told)
    assert [choice["stages"] for choice in answer["choices"]] == [2, 3]
    # Over one stage without the pin, 35: node 0 alone and the rest, 30 and what comes in; with three, 8 + 9 and that.
    assert [choice["speedup"] for choice in answer["choices"]] == pytest.approx([35 / 31, 35 / 18])
    assert answer["left_out"] == [{"stages": 1, "why": "Left out k = 1: node 'n1' is pinned to stage 1."}]
    code, told, _ = command("recommend", file, "--stages", "1..2", "--pin", "n1=1", "--pin", "n0=0")
    assert code == 0
    assert "Left out k = 1: node 'n1' is pinned to stage 1." in told
    for pins, words in (
        (
            ["n1=2"],
            "node 'n1' is pinned to stage 2, and --stages ends at 2 (stages are counted from 0: give at least 3",
        ),
        (["n3=0", "n1=1"], "comes after 'n1', which is pinned to stage 1"),
        (["n1"], "cannot read --pin 'n1'"),
        (["nobody=1"], "there is no node 'nobody'"),
    ):
        options = [text for pin in pins for text in ("--pin", pin)]
        code, told, error = command("recommend", file, "--stages", "1..2", *options)
        assert code == 2
        assert told == ""
        assert words in error
        assert len(error.strip().splitlines()) == 1


def test_malformed_constraints_in_a_file_are_told() -> None:
    for document in ({"pins": [["v1"]]}, {"pins": 3}, {"memory_limit": "much"}):
        with pytest.raises(UserError, match="the constraints: "):
            Constraints.from_dict(document)
    constraints = Constraints(pins=(("a=b", 2),), memory_limit=7, no_cut=("c",))
    assert Constraints.from_dict(json.loads(json.dumps(constraints.as_dict()))) == constraints


@pytest.mark.parametrize("entry", ["cp-sat", "ideal-dp", "slice-graph"])
def test_bytes_are_counted_to_the_last(entry: str) -> None:
    """Sizes beyond what CP-SAT takes as a coefficient, and limits that one byte decides."""
    for seed in range(8):
        rng = np.random.default_rng(seed)
        instance = random_instance(seed, 7)
        sizes = rng.integers(1, 5, instance.n) * (1 << 38) + rng.integers(0, 3, instance.n)
        free = Problem(instance=instance, stages=2)
        splits = (np.array(split, np.int64) for split in itertools.product(range(2), repeat=instance.n))
        held = [sizes[split == 0].sum() for split in splits if is_valid(free, split)]
        least = min(max(int(first), int(sizes.sum() - first)) for first in held)
        for limit in (least, least - 1):
            problem = Problem(instance=limit_memory(instance, sizes, limit, 2), stages=2)
            optimum = brute_force_optimum(problem)
            assert (optimum > problem.instance.largest_cost) == (limit < least)
            _, board = run_entry(registry.create(entry), problem, seconds=20.0)
            assert not board.over_limit
            assert board.incumbent is None or board.incumbent.value >= optimum
            if entry != "slice-graph":
                assert board.dual is not None
                assert board.dual.value == optimum, f"seed {seed}, limit {limit}"
                assert board.infeasible == (limit < least)


def test_nothing_is_streamed_under_a_memory_limit() -> None:
    """The costs in the unit of the graph agree with those in ticks, though the device has a fast memory."""
    rows = [(0, [1]), (1, [2]), (2, [3])]
    graph = ModelGraph(
        name="chain",
        source="a test",
        node_names=("a", "b", "c", "d"),
        ops=("",) * 4,
        topology=build_topology(
            4, np.array([u for u, _ in rows]), np.arange(4), np.array([v for _, heads in rows for v in heads])
        ),
        costs=PhysicalCosts(
            flops=np.zeros(4),
            parameter_bytes=np.array([100.0, 100.0, 100.0, 100.0]),
            accessed_bytes=np.zeros(4),
            seconds=np.array([1.0, 2.0, 3.0, 4.0]),
            tensor_bytes=np.array([1.0, 1.0, 1.0]),
        ),
    )
    device = Device(name="small", link_bandwidth=10.0, fast_memory=50.0)
    wished = Settings(device=device, budget=20.0, entry="ideal-dp")
    result = solve(graph, 2, constraints=Constraints(memory_limit=310), settings=wished)
    assert result.status == "optimal"
    assert [cost.overflow for cost in result.stage_costs] == [0.0, 0.0]
    assert result.incumbent == pytest.approx(6.1)
    assert all(check.passed for check in verify_result(result, graph).checks)


def test_what_was_given_is_named() -> None:
    for constraints, words in (
        (Constraints(), ""),
        (Constraints(pins=(("a", 0),)), "the pin a=0"),
        (Constraints(pins=(("a", 0), ("b", 1)), memory_limit=5000), "the pins a=0, b=1 and the memory limit of 5,000"),
        (Constraints(pins=tuple((f"v{i}", i) for i in range(9))), "the pins v0=0, v1=1, v2=2 and 6 more"),
        (Constraints(same_stage=(("a", "b"),), no_cut=("c",)), "the same stage for a, b and no cut behind c"),
        (Constraints(same_stage=(("a", "b"), ("c", "d"))), "the same stage for each of 2 sets of nodes"),
    ):
        assert str(constraints) == words


def test_an_optimum_is_one_among_those_that_obey(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "chain.graph.json"
    file.write_text(json.dumps(chain([4, 4, 4, 0, 0])))
    _, told, _ = command("solve", file, "-k", "2", "--pin", "n0=0", "--pin", "n4=1")
    assert "no partition into 2 stages that obeys the pins n0=0, n4=1 has a bottleneck below" in " ".join(told.split())
    _, told, _ = command("solve", file, "-k", "2")
    assert "obeys" not in told
    _, told, _ = command("recommend", file, "--stages", "1..2", "--memory-limit", "12")
    assert "proven optimal among those that obey the memory limit of 12" in " ".join(told.split())

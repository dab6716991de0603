"""Constraints made by contraction: exactly the partitions that obey, at the same cost."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.graph import ModelGraph, PricedCosts
from framework.model.instance import UNLIMITED
from framework.model.pricing import price
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.constraints import Constraints, constrain
from framework.portfolio.context.local import run_entry
from framework.portfolio.result import Result
from framework.portfolio.solve import starting_partition
from framework.portfolio.verification import verify_document
from framework.registry import load_plugins, registry
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_instance
from tests.cli.conftest import Run, graph_file, pipebound

__all__ = ["graph_file", "pipebound"]


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
            capacity=None if instance.capacity == UNLIMITED else instance.capacity,
        ),
    )


def obeys(graph: ModelGraph, constraints: Constraints, stage_of: tuple[int, ...]) -> bool:
    stage = dict(zip(graph.node_names, stage_of, strict=True))
    if any(len({stage[name] for name in names}) > 1 for names in constraints.same_stage):
        return False
    top = graph.topology
    for t, u in enumerate(top.producer.tolist()):
        if graph.node_names[u] in constraints.no_cut:
            users = top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist()
            if any(stage_of[v] != stage_of[u] for v in users):
                return False
    return True


def exhaustive(graph: ModelGraph, k: int, constraints: Constraints) -> int:
    """Try every assignment of nodes to stages that obeys."""
    problem = Problem(instance=price(graph), stages=k)
    best: int | None = None
    for stage_of in itertools.product(range(k), repeat=graph.topology.n):
        if obeys(graph, constraints, stage_of):
            of_instance = np.empty(graph.topology.n, np.int64)
            of_instance[problem.instance.node_of_input] = stage_of
            try:
                value = bottleneck(problem, Partition(stage_of=of_instance))
            except ValueError:
                continue
            best = value if best is None else min(best, value)
    assert best is not None
    return best


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 3), st.data())
def test_the_optimum_is_that_of_all_partitions_that_obey(seed: int, k: int, data: st.DataObject) -> None:
    graph = graph_of(seed)
    names = st.sampled_from(graph.node_names)
    constraints = Constraints(
        same_stage=tuple(
            tuple(group) for group in data.draw(st.lists(st.lists(names, min_size=2, max_size=3), max_size=2))
        ),
        no_cut=tuple(data.draw(st.lists(names, max_size=2))),
    )
    instance = constrain(price(graph), graph, constraints, k)
    assert brute_force_optimum(Problem(instance=instance, stages=k)) == exhaustive(graph, k, constraints)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10_000), st.integers(1, 3), st.data())
def test_the_optimum_of_whole_modules_is_that_of_partitions_that_cut_none(
    seed: int, k: int, data: st.DataObject
) -> None:
    plain = graph_of(seed)
    modules = data.draw(st.lists(st.sampled_from(["m.layers.0", "m.layers.1", "m"]), min_size=plain.topology.n))
    names = tuple(f"{module}.op.{v + 1}" for v, module in enumerate(modules[: plain.topology.n]))
    graph = replace(plain, node_names=names)
    given = Constraints(whole_modules=("layers.*",)) if "layers" in "".join(names) else Constraints()
    sets = [[name for name in names if name.startswith(f"m.layers.{i}.")] for i in (0, 1)]
    same = Constraints(same_stage=tuple(tuple(members) for members in sets if members))
    instance = constrain(price(graph), graph, given, k)
    assert brute_force_optimum(Problem(instance=instance, stages=k)) == exhaustive(graph, k, same)
    assert Constraints.from_dict(given.as_dict()) == given


@pytest.mark.parametrize("entry", ["ideal-dp", "cp-sat", "slice-graph", "annealing", "multilevel"])
def test_entries_honour_them_without_knowing(entry: str) -> None:
    load_plugins()
    for seed in range(6):
        graph = graph_of(seed)
        if graph.topology.n < 3:
            continue
        constraints = Constraints(same_stage=(graph.node_names[:2],), no_cut=graph.node_names[-3:-2])
        instance = constrain(price(graph), graph, constraints, 3)
        _, board = run_entry(registry.create(entry), Problem(instance=instance, stages=3), seconds=0.5)
        optimum = exhaustive(graph, 3, constraints)
        assert not board.rejected
        if board.incumbent is not None:
            stage_of = board.incumbent.partition.stage_of[instance.node_of_input]
            assert obeys(graph, constraints, tuple(stage_of.tolist()))
            assert board.incumbent.value >= optimum
        assert board.dual is None or board.dual.value <= optimum


def test_solve_and_verify_honour_them(pipebound: Run, graph_file: Path, tmp_path: Path) -> None:
    load_plugins()
    graph, out = read_graph(graph_file), tmp_path / "r.json"
    free = json.loads(pipebound("solve", graph_file, "-k", "3", "--json").stdout)
    cut = next(v for v in range(11) if free["stage_of"][v] != free["stage_of"][v + 1])
    kept, other = graph.node_names[cut], graph.node_names[cut + 1]
    for arguments in (["--same-stage", f"{kept},{other}"], ["--no-cut", kept]):
        done = pipebound("solve", graph_file, "-k", "3", *arguments, "-o", out, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["stage_of"][cut] == result["stage_of"][cut + 1]
        assert result["status"] == "optimal"
        assert result["incumbent_ticks"] >= free["incumbent_ticks"]
        assert all(check.passed for check in verify_document(result, graph).checks)
        checks = verify_document(result | {"stage_of": free["stage_of"]}, graph).checks
        assert any(not check.passed and "keep together" in check.detail for check in checks)
        # The bounds are those of the constrained problem: without the constraints they need not hold.
        unbound = verify_document(result | {"constraints": None}, graph).checks
        assert any(not check.passed and "another instance" in check.detail for check in unbound)


def test_an_unknown_constraint_in_a_file_is_not_ignored(pipebound: Run, graph_file: Path) -> None:
    load_plugins()
    result = json.loads(pipebound("solve", graph_file, "-k", "2", "--json").stdout)
    assert result["constraints"] is None
    with pytest.raises(UserError, match=r"constraints\.pin: there is no such key"):
        verify_document(result | {"constraints": {"pin": {"v0": 1}}}, read_graph(graph_file))


def test_a_run_starts_from_an_earlier_result(pipebound: Run, tmp_path: Path) -> None:
    first, graph = tmp_path / "first.json", "testbed:squeezenet"
    found = pipebound("solve", graph, "-k", "4", "--with", "slice-graph", "-o", first, "--json", "--budget", "60s")
    best = json.loads(found.stdout)
    assert best["incumbent_source"] != "balanced"
    # A run of an entry without partitions of its own, for more stages, and on a slower link.
    for more, same in ((["-k", "4"], True), (["-k", "5", "--bandwidth", "8GB/s"], False)):
        done = pipebound("solve", graph, *more, "--start", first, "--with", "simple", "--json")
        assert done.returncode == 0, done.stderr
        started = json.loads(done.stdout)
        assert started["incumbent_source"] == "start"
        assert started["stage_of"] == best["stage_of"]
        assert (started["incumbent_ticks"] == best["incumbent_ticks"]) is same


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--same-stage", "v1"], "fewer than two nodes"),
        (["--same-stage", "v1,v99"], "there is no node 'v99'"),
        (["--no-cut", "w1"], "there is no node 'w1'"),
        (["--whole-modules", "layers.*"], "no module is called 'layers.*'"),
        (["--start", "absent.json"], "absent.json"),
        (["-k", "2", "--start", "FIRST"], "has 3 stages, not 2"),
    ],
)
def test_mistakes_are_told(pipebound: Run, graph_file: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    first = tmp_path / "first.json"
    if "FIRST" in arguments:
        pipebound("solve", graph_file, "-k", "3", "-o", first)
    stages = [] if "-k" in arguments else ["-k", "3"]
    given = [str(first) if text == "FIRST" else text for text in arguments]
    done = pipebound("solve", graph_file, *stages, *given)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_start_must_obey(pipebound: Run, graph_file: Path) -> None:
    graph = read_graph(graph_file)
    free = Result.from_json(pipebound("solve", graph_file, "-k", "3", "--json").stdout)
    stage_of = free.stage_of
    assert stage_of is not None
    cut = next(v for v in range(11) if stage_of[v] != stage_of[v + 1])
    constraints = Constraints(same_stage=((graph.node_names[cut], graph.node_names[cut + 1]),))
    problem = Problem(instance=constrain(price(graph), graph, constraints, 3), stages=3)
    with pytest.raises(UserError, match="separates"):
        starting_partition(problem, graph, free)
    backward = replace(free, stage_of=stage_of[::-1])
    with pytest.raises(UserError, match="not of this graph"):
        starting_partition(Problem(instance=price(graph), stages=3), graph, backward)

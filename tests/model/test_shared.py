"""Shared parameters: counted once per stage by the evaluator, kept by contractions, relaxed by charging one user."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from framework.errors import UserError
from framework.formats.native import read, write_native
from framework.model.device import Device
from framework.model.exact import exact_stage_costs
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.instance import UNLIMITED, Instance, instance_from_lists
from framework.model.pricing import quantise
from framework.model.problem import Partition, Problem, check_limit, obeys, stage_costs
from framework.model.shared import SharedParameters, rename_users, shared_by
from framework.model.topology import build_topology
from framework.structure.reduction.contraction import contract, lift
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_memory_problem, random_shared_problem, random_unequal_problem


def embedding_and_head() -> Instance:
    """Three nodes in a chain; the first and the last use one table of cost 10, all have 1 of their own."""
    return instance_from_lists(
        [1, 1, 1], [(0, 0, [1]), (1, 0, [2])], parameter_cost=[1, 1, 1], capacity=0, shared=[(10, [0, 2])]
    )


def test_a_stage_holds_a_parameter_once() -> None:
    problem = Problem(instance=embedding_and_head(), stages=2)
    together = stage_costs(problem, Partition(stage_of=np.array([0, 0, 0])))
    assert together.overflow.tolist() == [13, 0]
    apart = stage_costs(problem, Partition(stage_of=np.array([0, 0, 1])))
    assert apart.overflow.tolist() == [12, 11]
    assert problem.instance.total_parameter_cost == 13


def test_parameters_with_the_same_users_are_one_and_those_of_one_node_its_own() -> None:
    instance = instance_from_lists(
        [1] * 3, [], parameter_cost=[0, 0, 5], capacity=0, shared=[(3, [0, 1]), (4, [1, 0, 1]), (7, [2]), (1, [1, 2])]
    )
    rows = np.diff(instance.shared.ptr).tolist()
    assert rows == [2, 2]
    assert sorted(instance.shared_cost.tolist()) == [1, 7]
    assert instance.parameter_cost.tolist() == [0, 0, 12]


def test_parameters_that_cannot_cost_anything_are_dropped() -> None:
    def held(capacity: int) -> list[int]:
        instance = instance_from_lists(
            [1] * 3, [], parameter_cost=[0, 1, 5], capacity=capacity, shared=[(3, [0, 1]), (0, [1, 2]), (2, [2])]
        ).without_idle_parameters()
        assert len(instance.shared) == len(instance.shared_cost)
        assert instance.parameter_cost.tolist() == [0, 1, 7]
        return [int(cost) for cost in instance.shared_cost]

    # All parameters together are 11.
    assert held(10) == [3]
    assert held(11) == held(UNLIMITED) == []


@pytest.mark.parametrize("seed", range(80))
def test_idle_parameters_change_no_cost(seed: int) -> None:
    problem = random_unequal_problem(seed) if seed % 2 else random_shared_problem(seed)
    smaller = problem.on(problem.instance.without_idle_parameters())
    assert len(smaller.instance.shared) <= len(problem.instance.shared)
    for partition in partitions(problem, seed):
        assert np.array_equal(stage_costs(smaller, partition).total, stage_costs(problem, partition).total)
        assert obeys(smaller, partition) == obeys(problem, partition)


@pytest.mark.parametrize("seed", range(40))
def test_forgetting_a_limit_forgets_what_only_the_limit_counts(seed: int) -> None:
    instance = random_memory_problem(seed).instance
    free = instance.without_limit()
    assert free.stage_limit is None
    assert (free.shared_cost > 0).all()
    assert free.shared_cost.sum() == instance.shared_cost.sum()
    assert len(free.shared) == (instance.shared_cost > 0).sum()


def test_what_nodes_use() -> None:
    shared = shared_by([[0, 2], [2, 3]])
    ptr, parameters = shared.of_nodes(6)
    rows = [parameters[ptr[v] : ptr[v + 1]].tolist() for v in range(6)]
    assert rows == [[0], [], [0, 1], [1], [], []]
    assert shared.sums(np.array([5, 7]), np.array([0, 0, 1, 1]), 3).tolist() == [5, 12, 0]
    assert shared.payers(np.array([1, 9, 4, 4])).tolist() == [2, 2]
    assert SharedParameters().payers(np.zeros(3)).tolist() == []
    assert SharedParameters().sums(np.zeros(0, np.int64), np.zeros(4, np.int64), 2).tolist() == [0, 0]


@pytest.mark.parametrize("seed", range(60))
def test_charging_one_user_never_costs_more(seed: int) -> None:
    problem = random_shared_problem(seed)
    relaxed = problem.charged()
    assert not len(relaxed.instance.shared)
    assert relaxed.instance.total_parameter_cost == problem.instance.total_parameter_cost
    for partition in partitions(problem, seed):
        assert (stage_costs(relaxed, partition).total <= stage_costs(problem, partition).total).all()
        assert obeys(relaxed, partition) or not obeys(problem, partition)


@pytest.mark.parametrize("seed", range(60))
def test_contraction_keeps_costs_and_what_stages_hold(seed: int) -> None:
    problem = random_shared_problem(seed)
    n = problem.instance.n
    contracted = contract(problem.instance, np.random.default_rng([seed, 5]).integers(0, max(1, n - 1), n))
    smaller = problem.on(contracted)
    for partition in partitions(smaller, seed):
        lifted = lift(partition, contracted)
        assert np.array_equal(stage_costs(smaller, partition).total, stage_costs(problem, lifted).total)
        assert obeys(smaller, partition) == obeys(problem, lifted)


@pytest.mark.parametrize("seed", range(120))
def test_exact_reduction_keeps_the_optimum(seed: int) -> None:
    problem = random_shared_problem(seed)
    reduced = problem.on(reduce_exact(problem.instance))
    optimum, other = brute_force_optimum(problem), brute_force_optimum(reduced)
    if optimum > problem.instance.largest_cost:
        assert other > reduced.instance.largest_cost, "a partition obeys the limits on the reduced instance alone"
    else:
        assert other == optimum


def test_a_memory_limit_counts_a_parameter_once() -> None:
    from framework.structure.reduction.hard_limits import limit_memory

    instance = limit_memory(embedding_and_head(), np.array([1, 1, 1]), 12, 2, np.array([10]))
    problem = Problem(instance=instance, stages=2)
    check_limit(problem, Partition(stage_of=np.array([0, 0, 1])))
    with pytest.raises(ValueError, match="holds 13"):
        check_limit(problem, Partition(stage_of=np.array([0, 0, 0])))


def test_renaming_is_the_same_in_one_step_and_in_two() -> None:
    rng = np.random.default_rng(3)
    shared = shared_by([rng.integers(0, 12, 5).tolist() for _ in range(9)])
    sizes = rng.integers(0, 50, 9)
    first, second = rng.integers(0, 8, 12), rng.integers(0, 4, 8)
    step = rename_users(shared, first, 8, sizes)
    twice = rename_users(step.shared, second, 4, step.sizes[0])
    once = rename_users(shared, second[first], 4, sizes)
    own = twice.private[0].copy()
    np.add.at(own, second, step.private[0])
    assert np.array_equal(own, once.private[0])
    assert np.array_equal(twice.shared.users, once.shared.users)
    assert np.array_equal(twice.sizes[0], once.sizes[0])


def physical_graph() -> ModelGraph:
    return ModelGraph(
        name="tied",
        source="a test",
        node_names=("embed", "middle", "head"),
        ops=("", "", ""),
        topology=build_topology(3, np.array([0, 1]), np.array([0, 1, 2]), np.array([1, 2])),
        costs=PhysicalCosts(
            flops=np.array([1.0, 2.0, 3.0]),
            parameter_bytes=np.array([0.0, 8.0, 0.0]),
            accessed_bytes=np.array([4.0, 4.0, 4.0]),
            seconds=np.array([1.0, 2.0, 3.0]),
            tensor_bytes=np.array([0.5, 0.25]),
            shared_bytes=np.array([100.0]),
        ),
        shared=shared_by([[0, 2]]),
        shared_names=("table",),
    )


def test_native_version_2_comes_back_as_it_was(tmp_path: Path) -> None:
    graph = physical_graph()
    write_native(graph, tmp_path / "tied.graph.json")
    assert '"version": 2' in (tmp_path / "tied.graph.json").read_text()
    again = read(tmp_path / "tied.graph.json")
    assert again.sha256() == graph.sha256()
    assert again.shared_names == ("table",)


def test_a_graph_without_shared_parameters_is_written_as_version_1(tmp_path: Path) -> None:
    graph = physical_graph()
    assert isinstance(graph.costs, PhysicalCosts)
    costs = replace(graph.costs, shared_bytes=np.zeros(0))
    plain = replace(graph, shared=SharedParameters(), shared_names=(), costs=costs)
    write_native(plain, tmp_path / "plain.graph.json")
    assert '"version": 1' in (tmp_path / "plain.graph.json").read_text()
    assert plain.sha256() != graph.sha256()


def test_pricing_and_exact_costs_agree() -> None:
    device = Device(name="d", link_bandwidth=10.0, fast_memory=8.0)
    priced = quantise(physical_graph(), device)
    assert priced.instance.in_units(priced.instance.total_parameter_cost) == pytest.approx(10.8)
    exact = exact_stage_costs(physical_graph(), device, np.array([0, 0, 0]), 2)
    assert exact[0].overflow.binary == Fraction(10)
    ticks = stage_costs(Problem(instance=priced.instance, stages=2), Partition(stage_of=np.array([0, 1, 1])))
    apart = exact_stage_costs(physical_graph(), device, np.array([0, 1, 1]), 2)
    for b in range(2):
        assert priced.instance.in_units(int(ticks.total[b])) == pytest.approx(float(apart[b].total.binary), rel=1e-9)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"bytes": 4, "users": []}', "users is"),
        ('{"bytes": 4}', "there is no 'users'"),
        ('{"bytes": 4, "users": [7]}', "there is no node 7"),
        ('{"bytes": 4, "users": [0.5]}', "users holds 0.5"),
        ('{"users": [0, 1]}', "there is no 'bytes'"),
        ('{"bytes": -4, "users": [0, 1]}', "its size is -4"),
        ('{"bytes": 4, "users": [0, 1], "name": 3}', "name is 3"),
        ("7", "this is 7"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "bad.graph.json"
    nodes = '[{"seconds": 1, "parameter_bytes": 0}, {"seconds": 1, "parameter_bytes": 0}]'
    path.write_text(
        f'{{"format": "pipebound-graph", "version": 2, "nodes": {nodes}, "tensors": [], "parameters": [{row}]}}'
    )
    with pytest.raises(UserError, match=said):
        read(path)


def test_version_1_has_no_shared_parameters(tmp_path: Path) -> None:
    path = tmp_path / "old.graph.json"
    path.write_text(
        '{"format": "pipebound-graph", "version": 1, "nodes": [{"seconds": 1, "parameter_bytes": 0}], "tensors": [],'
        ' "parameters": [{"bytes": 4, "users": [0]}]}'
    )
    with pytest.raises(UserError, match="version 1"):
        read(path)


def partitions(problem: Problem, seed: int) -> list[Partition]:
    """Return a few random partitions: stages that rise with the topological numbers."""
    rng = np.random.default_rng([seed, 31])
    n, stages = problem.instance.n, problem.stages
    return [Partition(stage_of=np.sort(rng.integers(0, stages, n)).astype(np.int64)) for _ in range(6)]

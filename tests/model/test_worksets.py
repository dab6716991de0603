"""Working sets that count towards the fast memory: the evaluator, reductions, the relaxation, prices, results."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from framework.model.device import Device
from framework.model.exact import exact_stage_costs
from framework.model.instance import instance_from_lists
from framework.model.pricing import quantise
from framework.model.problem import Partition, Problem, stage_costs
from framework.model.unequal import make_unequal, with_relaxation
from framework.portfolio.constraints import Constraints
from framework.portfolio.result import Result
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.portfolio.verification import verify_document
from framework.registry import load_plugins
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.reduction.contraction import contract, lift
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.brute_force import brute_force_optimum, fraction_optimum, stage_cost
from framework.testing.instances import random_workset_problem
from framework.testing.priced_instances import random_unequal_workset_problem
from framework.testing.wide_costs import assert_true_in_units, decimal
from tests.model.test_memory import graph_of
from tests.model.test_shared import partitions

DEVICE = Device(name="d", peak_flops=1e6, memory_bandwidth=1e6, link_bandwidth=10.0, fast_memory=30.0, activations=True)


@pytest.mark.parametrize("seed", range(60))
def test_the_largest_working_set_counts_once(seed: int) -> None:
    problem = random_workset_problem(seed)
    for partition in partitions(problem, seed):
        total = stage_costs(problem, partition).total
        for b in range(problem.stages):
            members = sum(1 << v for v in np.flatnonzero(partition.stage_of == b).tolist())
            assert total[b] == stage_cost(problem.instance, members)


@pytest.mark.parametrize("seed", range(60))
def test_relaxations_and_contractions(seed: int) -> None:
    problem = random_workset_problem(seed)
    relaxed = problem.without_worksets()
    assert not len(relaxed.instance.working_cost)
    n = problem.instance.n
    contracted = contract(problem.instance, np.random.default_rng([seed, 5]).integers(0, max(1, n - 1), n))
    smaller = problem.on(contracted)
    for partition in partitions(problem, seed):
        assert (stage_costs(relaxed, partition).total <= stage_costs(problem, partition).total).all()
        assert (stage_costs(problem.charged(), partition).total <= stage_costs(problem, partition).total).all()
    for partition in partitions(smaller, seed):
        lifted = lift(partition, contracted)
        assert np.array_equal(stage_costs(smaller, partition).total, stage_costs(problem, lifted).total)


@pytest.mark.parametrize("seed", range(150))
def test_bounds_and_reductions_are_true(seed: int) -> None:
    problem = random_workset_problem(seed)
    optimum = brute_force_optimum(problem)
    assert simple_bound(problem) <= optimum
    assert brute_force_optimum(problem.without_worksets()) <= optimum
    reduced = problem.on(reduce_exact(problem.instance))
    other = brute_force_optimum(reduced)
    if optimum > problem.instance.largest_cost:
        assert other > reduced.instance.largest_cost
    else:
        assert other == optimum


def test_what_cannot_overflow_counts_no_working_sets() -> None:
    def counted(capacity: int) -> int:
        instance = instance_from_lists([1, 1], [], parameter_cost=[2, 3], capacity=capacity, working_cost=[4, 6])
        return len(instance.without_idle_parameters().working_cost)

    assert (counted(10), counted(11)) == (2, 0)


def test_state_and_working_sets_are_priced() -> None:
    # Tensors of 6 and 2 bytes; working sets are 10, 8 and 2; the fast memory is 30 bytes, a byte takes 0.1 s.
    graph = graph_of(
        3,
        [(0, 6.0, [1]), (1, 2.0, [2])],
        parameters=[10.0, 5.0, 7.0],
        state=[0.0, 20.0, 0.0],
        workspace=[4.0, 0.0, 0.0],
        shared=[(8.0, [0, 2])],
    )
    exact = exact_stage_costs(graph, DEVICE, np.array([0, 0, 1]), 3)
    # 10 + 5 parameters, 8 shared, 20 of state and a working set of 10 bytes.
    assert [stage.overflow.binary for stage in exact] == [Fraction(23, 10), 0, 0]
    priced = quantise(graph, DEVICE)
    ticks = stage_costs(Problem(instance=priced.instance, stages=3), Partition(stage_of=np.array([0, 0, 1])))
    assert priced.instance.in_units(int(ticks.overflow[0])) == pytest.approx(2.3)
    plain = exact_stage_costs(graph, DEVICE.override(activations=False), np.array([0, 0, 1]), 3)
    assert [stage.overflow.binary for stage in plain] == [0, 0, 0]


@pytest.mark.parametrize("seed", range(60))
def test_claims_hold_in_the_unit_of_the_file(seed: int) -> None:
    load_plugins()
    assert_true_in_units("simple", seed, kind="physical")


def test_results_say_so_and_are_verified() -> None:
    graph = graph_of(4, [(v, 4.0, [v + 1]) for v in range(3)], parameters=[10.0] * 4, state=[3.0, 0.0, 0.0, 20.0])
    incumbents = []
    for activations in (False, True):
        device = DEVICE.override(activations=activations)
        result = solve(graph, 2, settings=Settings(device=device, entry="ideal-dp,annealing,slice-graph"))
        document = json.loads(result.to_json())
        assert document["device"].get("activations", False) == activations
        assert all(check.passed for check in verify_document(document, graph).checks)
        assert Result.from_json(result.to_json()).device == device
        optimum = max(fraction_optimum(graph, 2, read, device) for read in (Fraction, decimal))
        assert result.incumbent == pytest.approx(float(optimum))
        incumbents.append(result.incumbent or 0.0)
    assert incumbents[0] < incumbents[1]
    limited = solve(
        graph, 2, settings=Settings(device=DEVICE, entry="ideal-dp"), constraints=Constraints(memory_limit=60)
    )
    assert all(row.overflow == 0 for row in limited.stage_costs)


def test_on_different_devices_each_stage_has_the_largest_working_set_of_its_own() -> None:
    one = instance_from_lists([1, 1, 1], [(0, 2, [1])], parameter_cost=[2, 3, 1], capacity=4, working_cost=[4, 6, 1])
    other = replace(one, capacity=9, working_cost=one.working_cost[:0])
    instance = make_unequal(one, [one, other], np.array([0, 1]))
    problem = Problem(instance=instance, stages=2)
    assert instance.counts_worksets
    costs = stage_costs(problem, Partition(stage_of=np.array([0, 0, 1])))
    assert costs.overflow.tolist() == [2 + 3 + 6 - 4, 0]
    # In the relaxation every stage has a working set of 1 on the first device, and none on the other.
    assert not instance.without_worksets().counts_worksets
    assert [row.capacity for row in instance.without_worksets().on_each_device()] == [3, 9]
    assert instance.uniform().capacity == 6


@pytest.mark.parametrize("seed", range(150))
def test_prices_and_relaxations_on_different_devices_are_those_of_the_definition(seed: int) -> None:
    problem = random_unequal_workset_problem(seed).without_limit()
    # What pins put in place of the relaxation's costs need not be right for partitions that break them.
    problem = problem.on(with_relaxation(problem.instance))
    devices, kinds = problem.instance.on_each_device(), problem.prices.device.tolist()
    relaxed = [problem.without_worksets(), problem.uniform(), problem.without_worksets().uniform()]
    for partition in partitions(problem, seed):
        costs = stage_costs(problem, partition).total
        masks = [int((1 << np.flatnonzero(partition.stage_of == b)).sum()) for b in range(problem.stages)]
        assert costs.tolist() == [stage_cost(devices[kind], mask) for kind, mask in zip(kinds, masks, strict=True)]
        for other in relaxed:
            assert (stage_costs(other, partition).total <= costs).all()


@pytest.mark.parametrize("seed", range(60))
def test_reductions_on_different_devices_keep_the_optimum(seed: int) -> None:
    problem = random_unequal_workset_problem(seed).without_limit()
    reduced = problem.on(reduce_exact(problem.instance))
    assert brute_force_optimum(reduced) == brute_force_optimum(problem)

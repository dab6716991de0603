"""Unequal stages: prices, the relaxation, reductions and the simple bound, against brute force."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations_with_replacement

import numpy as np
import pytest

from framework.bounds import Certificate
from framework.errors import UserError
from framework.model.instance import UNLIMITED, Instance, instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck, check_limit, obeys, stage_costs
from framework.model.unequal import make_unequal
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.primal.initial_interval import balanced_partition, simple_bound
from framework.structure.primal.unrelated_machines import DeviceWeights, best_weights, bound_by_weights
from framework.structure.reduction.contraction import lift
from framework.structure.reduction.dominance import reduce_exact
from framework.structure.reduction.hard_limits import limit_memory, pin
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_unequal_problem

load_plugins()


def two_devices(capacity: int = UNLIMITED) -> Instance:
    """A chain of three nodes; the second device takes twice as long and has a link of a third of the speed."""
    fast = instance_from_lists([6, 2, 4], [(0, 3, [1]), (1, 1, [2])], parameter_cost=[5, 5, 5], capacity=capacity)
    slow = replace(
        fast,
        work=fast.work * 2,
        tensor_cost=fast.tensor_cost * 3,
        parameter_cost=fast.parameter_cost * 3,
        capacity=min(UNLIMITED, 3 * capacity),
    )
    return make_unequal(fast, [fast, slow], np.array([1, 0]))


def test_every_stage_is_priced_on_its_device() -> None:
    problem = Problem(instance=two_devices(capacity=6), stages=2)
    costs = stage_costs(problem, Partition(stage_of=np.array([0, 1, 1])))
    # The first stage on the slow device: 6 * 2 of work, a tensor of 3 * 3 out, and 15 of parameters within 18.
    assert [int(v) for v in costs.work] == [12, 6]
    assert [int(v) for v in costs.outbound] == [9, 0]
    assert [int(v) for v in costs.inbound] == [0, 3]
    assert [int(v) for v in costs.overflow] == [0, 4]
    assert costs.bottleneck == 21


def test_there_are_as_many_devices_as_stages() -> None:
    with pytest.raises(UserError, match="2 devices for 3 stages"):
        Problem(instance=two_devices(), stages=3)


def test_instances_of_other_structure_are_refused() -> None:
    one = instance_from_lists([1, 1], [(0, 1, [1])])
    other = instance_from_lists([1, 1], [])
    with pytest.raises(ValueError, match="differ in structure"):
        make_unequal(one, [one, other], np.array([0, 1]))


def test_limits_differ_by_stage() -> None:
    instance = limit_memory(two_devices(), np.array([4, 1, 1]), [3, 5], 2)
    problem = Problem(instance=instance, stages=2)
    assert not obeys(problem, Partition(stage_of=np.array([0, 1, 1])))
    with pytest.raises(ValueError, match="stage 0"):
        check_limit(problem, Partition(stage_of=np.array([0, 0, 1])))
    assert brute_force_optimum(problem) == instance.largest_cost + 1
    pinned = pin(limit_memory(two_devices(), np.array([4, 1, 1]), [6, 0], 2), {0: 0}, 2)
    assert brute_force_optimum(Problem(instance=pinned, stages=2)) == 24


@pytest.mark.parametrize("batch", range(4))
def test_relaxations_and_reductions_on_random_problems(batch: int) -> None:
    for seed in range(40 * batch, 40 * batch + 40):
        problem = random_unequal_problem(seed)
        optimum, most = brute_force_optimum(problem), problem.instance.largest_cost
        assert simple_bound(problem) <= optimum, seed
        weights = best_weights(problem.instance)
        assert bound_by_weights(problem.instance, weights) <= optimum, seed
        start = balanced_partition(problem)
        assert not obeys(problem, start) or bottleneck(problem, start) >= optimum, seed
        for relaxed in (problem.uniform(), problem.charged(), problem.charged().uniform()):
            assert brute_force_optimum(relaxed) <= optimum, seed
        reduced = problem.on(reduce_exact(problem.instance))
        found = brute_force_optimum(reduced)
        assert found == optimum or (optimum > most and found > reduced.instance.largest_cost), seed


def test_a_start_obeys_the_limits_of_each_stage_if_some_slicing_does() -> None:
    tried = 0
    for seed in range(400):
        problem = random_unequal_problem(seed, max_nodes=6)
        if problem.instance.stage_limit is not None:
            vectors = combinations_with_replacement(range(problem.stages), problem.instance.n)
            sliced = any(obeys(problem, Partition(stage_of=np.array(vector))) for vector in vectors)
            assert obeys(problem, balanced_partition(problem)) or not sliced, seed
            tried += sliced
    assert tried > 50


def test_a_reduced_partition_costs_the_same() -> None:
    rng = np.random.default_rng(1)
    reduced = 0
    for seed in range(60):
        problem = random_unequal_problem(seed)
        smaller = problem.on(reduce_exact(problem.instance))
        stage_of = np.sort(rng.integers(0, problem.stages, smaller.instance.n))
        partition = Partition(stage_of=stage_of)
        lifted = lift(partition, smaller.instance)
        assert (stage_costs(smaller, partition).total == stage_costs(problem, lifted).total).all()
        reduced += smaller.instance.n < problem.instance.n
    assert reduced > 5


def test_the_simple_bound_knows_slow_devices() -> None:
    # Divisible work of 12 on a fast device and one that is three times as slow: 9 and 3 of it, 9 ticks each.
    fast = instance_from_lists([1] * 12, [])
    instance = make_unequal(fast, [fast, replace(fast, work=fast.work * 3)], np.array([0, 1]))
    problem = Problem(instance=instance, stages=2)
    assert simple_bound(problem) == 9 == brute_force_optimum(problem)


def test_unrelated_devices_need_the_linear_program() -> None:
    # Each device is good at half of the nodes, and both are as fast over all.
    base = instance_from_lists([0] * 8, [])
    one, other = np.array([1] * 4 + [9] * 4), np.array([9] * 4 + [1] * 4)
    instance = make_unequal(base, [replace(base, work=one), replace(base, work=other)], np.array([0, 1, 1]))
    problem = Problem(instance=instance, stages=3)
    optimum = brute_force_optimum(problem)
    _, board = run_entry(registry.create("simple"), problem, name="simple")
    assert board.dual is not None
    assert simple_bound(problem) < board.dual.value <= optimum
    certificate = board.dual.certificate
    assert certificate is not None
    assert registry.create("simple").check(problem, certificate) == board.dual.value


def test_forged_weights_prove_nothing_more() -> None:
    problem = random_unequal_problem(3)
    for work, streams in (((1,), (0,)), ((1 << 20, 1), (0, 0)), ((1, 1), (2, 0)), ((-1, 1), (0, 0))):
        with pytest.raises(ValueError, match="weights"):
            bound_by_weights(two_devices(), DeviceWeights(work=work, streams=streams))
    digest = problem.instance.sha256()
    for data in ({"work": [1.5], "streams": [0]}, {"work": [1]}):
        with pytest.raises(ValueError, match="it holds"):
            registry.create("simple").check(problem, Certificate(kind="simple", data=data, instance=digest))


def test_entries_without_the_feature_get_the_relaxation() -> None:
    problem = random_unequal_problem(0)
    assert problem.instance.unequal is not None
    lacking = registry.create("tensor-count")
    assert registry.problem_for(lacking, problem).instance.unequal is None
    assert registry.problem_for(registry.create("simple"), problem).instance.unequal is not None

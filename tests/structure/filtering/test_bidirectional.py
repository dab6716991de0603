"""Survivors: what all partitions of bottleneck at most a threshold have in common, held against all of them."""

from __future__ import annotations

from itertools import count, pairwise, product

import numpy as np
import pytest

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck
from framework.structure.filtering import rounds as fixing
from framework.structure.filtering.bidirectional import find_survivors, impose, read_both_ways
from framework.structure.filtering.rounds import FixedProblems
from framework.structure.filtering.tuning import FilterTuning
from framework.structure.fluid.core import FluidCore, build_core
from framework.structure.fluid.memory_bound import crowded_nodes
from framework.structure.fluid.unequal_chain_dp import stage_devices
from framework.structure.fluid.variants import Counted, Variant, device_variants
from framework.structure.ideals.lattice import IdealLattice, enumerate_ideals
from framework.structure.poset.closure import closure, unpack_sets
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import (
    random_branches,
    random_cross_attention,
    random_instance,
    random_layered_instance,
    random_shared_problem,
    random_unequal_problem,
)
from framework.testing.priced_instances import random_attention_problem

SEEDS = 80


def _never() -> bool:
    return False


def _problem(seed: int) -> Problem:
    rng = np.random.default_rng([seed, 7])
    kind = seed % 4
    if kind == 0:
        instance = random_instance(seed, 9)
    elif kind == 1:
        instance = random_layered_instance(seed, 9, capacity_share=float(rng.choice([0.1, 0.3, 2.0])))
    elif kind == 2:
        instance = random_cross_attention(seed)[0].instance
    else:
        instance = random_branches(seed)[0]
    return Problem(instance=instance, stages=int(rng.choice([2, 3, 4, 4, 12])))


def _boundaries(problem: Problem, threshold: int) -> list[list[int]]:
    """Return, per boundary, the ideals (bit masks) that some partition within the threshold has there."""
    instance, k = problem.instance, problem.useful_stages
    top, n = instance.topology, instance.n
    needs = [sum(1 << int(u) for u in top.preds[start:stop]) for start, stop in pairwise(top.pred_ptr.tolist())]
    ideals = [s for s in range(1 << n) if all(not s >> v & 1 or needs[v] & ~s == 0 for v in range(n))]
    costs = {0: 0}

    def fits(stage: int) -> bool:
        if stage not in costs:
            costs[stage] = stage_cost(instance, stage)
        return costs[stage] <= threshold

    ahead, behind = [{0}], [{(1 << n) - 1}]
    for _ in range(k):
        ahead.append({j for j in ideals if any(j & i == i and fits(j ^ i) for i in ahead[-1])})
        behind.append({i for i in ideals if any(j & i == i and fits(j ^ i) for j in behind[-1])})
    return [sorted(ahead[b] & behind[k - b]) for b in range(1, k)]


def _core(instance: Instance, rng: np.random.Generator) -> tuple[FluidCore, IdealLattice]:
    mask = rng.random(instance.n) < rng.choice([0.0, 0.2, 0.5, 0.8])
    mask[rng.integers(instance.n)] = False
    core = build_core(instance, mask)
    return core, enumerate_ideals(core.order, max_ideals=1 << 14)


def _whole(core: FluidCore, rng: np.random.Generator) -> list[Variant]:
    """Return a whole-node variant for each way of counting, with a grain that is a weight, or any."""
    instance = core.instance
    variants = []
    for counted in (Counted.WORK, Counted.ALL_PARAMETERS)[: 1 + bool(instance.can_overflow)]:
        weights = (instance.work + counted * instance.parameter_cost)[core.fluid]
        grain = int(rng.choice([*weights, rng.integers(2, 20)]))
        variants += [Variant(counted=counted, grain=grain)] if grain > 1 else []
    return variants


def _small_cores(ideals: int) -> FilterTuning:
    """Return what keeps cores so small that much of a small problem is divisible."""
    return FilterTuning(first_ideals=ideals, max_ideals=ideals)


def _small_problem(seed: int) -> Problem:
    """Return the first problem of `seed`, `seed` + `SEEDS`, ... that brute force can exhaust."""
    drawn = (_problem(seed) for seed in count(seed, SEEDS))
    return next(problem for problem in drawn if 2 <= problem.instance.n <= 12)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_partition_within_the_threshold_survives(seed: int) -> None:
    problem = _small_problem(seed)
    instance, rng = problem.instance, np.random.default_rng(seed)
    threshold = int(brute_force_optimum(problem) * rng.choice([1.0, 1.0, 1.1, 1.5]))
    truth = _boundaries(problem, threshold)
    tuning = FilterTuning(first_trial=int(rng.choice([1, 10, 10_000])))
    for _ in range(3):
        core, lattice = _core(instance, rng)
        crowded = crowded_nodes(instance, closure(instance), threshold)
        sides = read_both_ways(core, lattice, crowded, _never, _whole(core, rng))
        every = [*sides.forwards.variants, Variant(grain=1 << 40)]
        variants = [every[i] for i in rng.permutation(len(every))[: rng.integers(len(every))]]
        found = find_survivors(sides, problem.useful_stages, threshold, variants, _never, tuning=tuning)
        assert found is not None
        assert found.variants
        assert set(found.variants) <= set(sides.forwards.variants)
        alive = found.ideals
        number = {row.tobytes(): i for i, row in enumerate(unpack_sets(lattice.bits, core.order.n))}
        for b, ideals in enumerate(truth):
            assert {number[_flags(i, core.nodes).tobytes()] for i in ideals} <= set(alive[b].tolist())
        left = impose(instance, closure(instance), core, lattice, alive, _never)
        for ideal in [] if left is None else [i for ideals in truth for i in ideals]:
            _assert_ideal(left, _flags(ideal, np.arange(instance.n)))


@pytest.mark.parametrize("seed", range(60))
def test_on_different_devices_every_partition_within_the_threshold_survives(seed: int) -> None:
    problem = (random_shared_problem(seed) if seed % 3 == 0 else random_unequal_problem(seed)).without_limit()
    instance, rng, k = problem.instance, np.random.default_rng(seed), problem.stages
    threshold = int(brute_force_optimum(problem) * rng.choice([1.0, 1.0, 1.1, 1.5]))
    top = instance.topology
    partitions = []
    for stage_of in product(range(k), repeat=instance.n):
        stage = np.array(stage_of)
        if (np.repeat(stage[top.producer], np.diff(top.consumer_ptr)) <= stage[top.consumers]).all():
            partition = Partition(stage_of=stage)
            partitions += [partition] if bottleneck(problem, partition) <= threshold else []
    assert partitions
    tuning = FilterTuning(first_trial=int(rng.choice([1, 10, 10_000])))
    fluid = _core(instance, rng)[0].fluid
    core = build_core(instance, np.isin(np.arange(instance.n), fluid))
    lattice = enumerate_ideals(core.order, max_ideals=1 << 14)
    device, crowded = stage_devices(instance, k), rng.random(instance.n) < 0.5
    sides = read_both_ways(core, lattice, crowded, _never, device_variants(core, threshold, crowded), device)
    found = find_survivors(sides, k, threshold, (), _never, tuning=tuning)
    assert found is not None
    number = {row.tobytes(): i for i, row in enumerate(unpack_sets(lattice.bits, core.order.n))}
    for b, alive in enumerate(found.ideals, start=1):
        assert {number[(one.stage_of[core.nodes] < b).tobytes()] for one in partitions} <= set(alive.tolist())
    for tried in (threshold, threshold - 1):
        fixed = FixedProblems(problem, _small_cores(int(rng.integers(2, 9))))
        assert not fixed.fix(tried) or tried < brute_force_optimum(problem)
        left = fixed.at(tried)
        assert left is None or min(tried, brute_force_optimum(left)) == min(tried, brute_force_optimum(problem))


def _flags(ideal: int, nodes: IntArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.array([bool(ideal >> v & 1) for v in nodes.tolist()], np.bool_)


def _assert_ideal(left: Instance | None, inside: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> None:
    """Assert that a set of nodes is a set of nodes of what is left, and closed under what comes first there."""
    assert left is not None
    held = np.zeros(left.n, np.bool_)
    held[left.node_of_input[inside]] = True
    assert np.array_equal(held[left.node_of_input], inside)
    top = left.topology
    for v in np.flatnonzero(held).tolist():
        assert held[top.preds[top.pred_ptr[v] : top.pred_ptr[v + 1]]].all()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_all_partitions_within_the_threshold_keep_to_the_windows(seed: int) -> None:
    problem = _small_problem(seed)
    rng = np.random.default_rng([seed, 1])
    problems, optimum = FixedProblems(problem, _small_cores(int(rng.integers(2, 40)))), brute_force_optimum(problem)
    for factor in (1.3, 1.1, 1.0):
        threshold = int(optimum * factor)
        problems.fix(threshold)
        left = problems.at(threshold)
        assert left is not None
        if left is problem or left.windows is None:
            continue
        assert problems.choices(threshold) == (left.windows.latest - left.windows.earliest).sum()
        for b, ideals in enumerate(_boundaries(left, threshold), start=1):
            for ideal in ideals:
                inside = _flags(ideal, np.arange(left.instance.n))
                assert (left.windows.earliest[inside] < b).all()
                assert (left.windows.latest[~inside] >= b).all()


def _assert_keeps_the_optimum(problem: Problem, ideals: int, level: int) -> None:
    """Assert that what is left within a threshold has the same optimum, and below the optimum nothing better."""
    optimum = brute_force_optimum(problem)
    problems = FixedProblems(problem, _small_cores(ideals))
    for threshold in (2 * optimum, optimum + 3, optimum, optimum + 1, 2 * optimum):
        assert not problems.fix(threshold, level)
        left = problems.at(threshold)
        assert left is not None
        assert brute_force_optimum(left) == optimum
    if not problems.fix(optimum - 1):
        left = problems.at(optimum - 1)
        assert left is not None
        assert brute_force_optimum(left) >= optimum


@pytest.mark.parametrize("seed", range(SEEDS))
def test_fixing_keeps_the_optimum_and_nothing_better(seed: int) -> None:
    _assert_keeps_the_optimum(_small_problem(seed), 2 + seed % 7, seed % 2)


@pytest.mark.parametrize("seed", range(40))
def test_with_tolls_and_prices_of_each_stage_it_does_too(seed: int) -> None:
    _assert_keeps_the_optimum(random_attention_problem(seed), 2 + seed % 17, seed % 2)


def test_a_chain_is_fixed_wholly() -> None:
    """Four equal nodes in a row leave two stages one choice: what is left has two nodes."""
    problem = Problem(instance=instance_from_lists([5, 5, 5, 5], [(v, 1, [v + 1]) for v in range(3)]), stages=2)
    problems = FixedProblems(problem)
    assert not problems.fix(11)
    left = problems.at(11)
    assert left is not None
    assert left.instance.node_of_input.tolist() == [0, 0, 1, 1]
    assert problems.fix(10)
    assert problems.at(10) is None
    assert problems.fix(9), "what is refuted is refuted below as well"


def test_untouched_problems_are_the_same_object() -> None:
    problem = _problem(1)
    problems = FixedProblems(problem)
    assert not problems.fix(10 * problem.instance.largest_cost)
    assert problems.at(10 * problem.instance.largest_cost) is problem


def test_time_is_kept_and_the_work_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(instance=random_layered_instance(4, 40), stages=3)
    problems = FixedProblems(problem)
    assert not problems.fix(problem.instance.largest_cost, should_stop=lambda: True)
    assert problems.at(problem.instance.largest_cost) is problem
    calls = 0

    def interrupted(*_: object, **__: object) -> None:
        nonlocal calls
        calls += 1
        raise OutOfTimeError("stopped")

    monkeypatch.setattr(fixing, "find_survivors", interrupted)
    assert not problems.fix(problem.instance.total_work // 2)
    assert calls == 1
    assert problems.at(problem.instance.total_work // 2) is problem


@pytest.mark.parametrize(
    "wrong", [{"first_ideals": 1}, {"first_ideals": 9, "max_ideals": 8}, {"growth": 1}, {"first_trial": 0}]
)
def test_tuned_constants_have_limits(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        FilterTuning(**wrong)


def test_single_stages_are_left_alone() -> None:
    problem = Problem(instance=random_layered_instance(3, 9), stages=1)
    problems = FixedProblems(problem)
    assert not problems.fix(problem.instance.largest_cost)
    assert problems.at(problem.instance.largest_cost) is problem

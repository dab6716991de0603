"""Tolls of each unit by itself: what a stage runs at most, against all ways to run whole nodes, and what it proves."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import FluidCore, build_core
from framework.structure.fluid.tolls.tolls_per_unit import least_missing_tolls, run_by_unit, tolls_per_unit
from framework.structure.fluid.variants import Variant, toll_variants
from framework.structure.ideals.chain_dp import ChainSearch
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.poset.closure import BoolArray
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_cross_attention

SEEDS = st.integers(0, 2**32 - 1)
BY_UNIT = Variant(by_unit=True)


def never() -> bool:
    return False


def embedding_tables(weights: list[int], toll: int, heads: int, common: int = 0) -> tuple[Instance, BoolArray]:
    """Return an input that feeds tables of such weights, which feed some heads in turn, and the mask of the tables."""
    tables = list(range(1, len(weights) + 1))
    first = len(weights) + 1
    tensors = [(0, common, tables), *((v, toll, [first + v % heads]) for v in tables)]
    tensors += [(first + i, 1, [first + i + 1]) for i in range(heads - 1)]
    instance = instance_from_lists([3, *weights, *[2] * heads], tensors)
    mask = np.zeros(instance.n, np.bool_)
    mask[tables] = True
    return instance, mask


@given(SEEDS)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_nothing_possible_is_refuted(seed: int) -> None:
    problem, paths = random_cross_attention(seed)
    instance, rng = problem.instance, np.random.default_rng([seed, 12])
    mask = np.zeros(instance.n, np.bool_)
    mask[paths] = rng.random(len(paths)) < rng.choice([1.0, 0.8])
    core = build_core(instance, mask)
    further = toll_variants(core)
    search = FluidSearch(core, enumerate_ideals(core.order, max_ideals=100_000), further=further)
    optimum = brute_force_optimum(problem)
    assert set(further) <= set(search.variants)
    for variant, threshold in product(further, (optimum, optimum + 1, 2 * optimum)):
        assert search.decide(problem.useful_stages, threshold, never, variant=variant) is not None


def test_units_of_different_weights_refute_more_than_equal_ones() -> None:
    gained = {"units": 0, "common": 0}
    for common, stages in product((0, 6), (2, 3)):
        instance, mask = embedding_tables([8, 8, 8, 12, 12, 18, 27, 40, 60], toll=4, heads=1, common=common)
        core = build_core(instance, mask)
        assert (core.unit >= 0).sum() >= 8
        search = FluidSearch(core, enumerate_ideals(core.order, max_ideals=100), further=toll_variants(core))
        exact = ChainSearch(instance, enumerate_ideals(instance, max_ideals=100_000))
        for threshold in range(instance.total_work // stages, instance.total_work):
            basic, by_unit = (
                search.decide(stages, threshold, never, variant=variant) is None for variant in (Variant(), BY_UNIT)
            )
            gained["common" if common else "units"] += by_unit and not basic
            assert not by_unit or exact.decide(stages, threshold, never) is None
    assert all(gained.values())


def _units(core: FluidCore, members: IntArray, tolls: IntArray, weight: IntArray) -> list[tuple[int, int, int]]:
    return [
        (int(weight[core.unit == u].sum()), int(core.unit_cost[u]), int(tolls[core.unit == u].sum()))
        for u in np.unique(members)
    ]


@given(SEEDS)
@settings(max_examples=60, derandomize=True, deadline=None)
def test_what_a_stage_runs_is_at_least_what_any_whole_nodes_allow(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 12, int(rng.integers(2, 6))).tolist()
    instance, mask = embedding_tables(weights, toll=int(rng.integers(1, 6)), heads=1)
    core = build_core(instance, mask)
    weight = instance.work[core.fluid]
    tolls = tolls_per_unit(core.unit, core.unit_cost, weight)
    units = _units(core, core.unit[core.unit >= 0], tolls.toll, weight)
    for owned in product((False, True), repeat=len(units)):
        own = [i for i, is_owned in enumerate(owned) if is_owned]
        for room in range(0, 40, 3):
            best = -1
            for run in product((False, True), repeat=len(units)):
                due = sum(units[i][1] for i in range(len(units)) if run[i] != owned[i])
                load = sum(units[i][0] for i in range(len(units)) if run[i])
                if load + due <= room:
                    best = max(best, sum(units[i][0] + units[i][2] for i in range(len(units)) if run[i]))
            own_weight, own_tolls = (sum(units[i][row] for i in own) for row in (0, 2))
            # Where nothing fits, any negative number says so.
            assert best < 0 or run_by_unit(room, own_weight, own_tolls, tolls.prefixes) >= best


def test_the_knapsack_takes_cheap_units_first_and_parts_of_them() -> None:
    prefixes = np.array([[4, 10, 30], [1, 5, 45]])
    assert [least_missing_tolls(prefixes, missing) for missing in (2, 4, 7, 10, 20, 30, 31)] == [0, 0, 2, 4, 24, 44, -1]
    assert run_by_unit(5, 12, 9, prefixes) == 5 + 9 - 2 * 2
    assert run_by_unit(20, 12, 9, prefixes) == 29
    assert run_by_unit(-1, 0, 9, prefixes) == -1
    assert run_by_unit(1, 50, 9, prefixes) == -1
    assert least_missing_tolls(np.zeros((2, 0), np.int64), 1) == -1

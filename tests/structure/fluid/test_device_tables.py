"""Tolls and crowded sections where stages have prices of their own: against exhaustion, and against equal stages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.model.shared import shared_by
from framework.model.unequal import make_unequal
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import FluidCore, build_core
from framework.structure.fluid.device_tables import DeviceTables, weights_of
from framework.structure.fluid.memory_bound import crowded_nodes
from framework.structure.fluid.tolls.separation_costs import find_tolls
from framework.structure.fluid.unequal_chain_dp import UnequalFluidSearch, stage_devices
from framework.structure.fluid.variants import Counted, Variant, device_variants, toll_variants
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.poset.closure import BoolArray, closure
from framework.structure.primal.unrelated_machines import DeviceWeights
from framework.structure.unequal.slicing import slicer_of
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import random_cross_attention
from framework.testing.priced_instances import random_attention_problem
from tests.structure.fluid.test_chain_dp import alternating_sections

SEEDS = st.integers(0, 2**32 - 1)
EXHAUSTIVE = settings(derandomize=True, deadline=None, max_examples=60)


def never() -> bool:
    return False


def priced_attention(seed: int) -> tuple[Problem, BoolArray]:
    """Return a problem with prices of its own in which paths feed a chain, and a mask of most nodes of these paths."""
    problem, (_, paths) = random_attention_problem(seed), random_cross_attention(seed)
    rng, n = np.random.default_rng([seed, 32]), problem.instance.n
    mask = np.zeros(n, np.bool_)
    mask[paths] = rng.random(len(paths)) < rng.choice([1.0, 0.8])
    if rng.random() < 0.3:
        mask |= rng.random(n) < 0.15
    mask[-1] &= not mask.all()
    return problem, mask


def all_variants(core: FluidCore, seed: int, threshold: int, crowded: BoolArray) -> list[Variant]:
    """Return the variants that are used, and others with weights and grains drawn at random."""
    rng, priced = np.random.default_rng([seed, 9]), core.instance.on_each_device()
    variants = [*device_variants(core, threshold, crowded), *toll_variants(core, priced=True)]
    units = [(Counted.WORK, True)] if (core.unit >= 0).any() else []
    for counted, by_unit in ((Counted.WORK, False), (Counted.CROWDED, False), *units):
        work = rng.integers(1, 9, len(priced))
        streams = rng.integers(0, work + 1) * [row.can_overflow for row in priced]
        devices = DeviceWeights(work=tuple(work.tolist()), streams=tuple(streams.tolist()))
        grain = 1 if by_unit else int(rng.integers(1, 20))
        variants.append(Variant(counted=counted, devices=devices, by_unit=by_unit, grain=grain))
    return variants


@EXHAUSTIVE
@given(SEEDS)
def test_no_stage_pays_more_for_nets_and_tolls_than_for_tensors_on_its_device(seed: int) -> None:
    problem, fluid = priced_attention(seed)
    instance, n = problem.instance, problem.instance.n
    core, top = build_core(instance, fluid), instance.topology
    tolls = find_tolls(core.instance, fluid, ~fluid)
    assert np.array_equal(tolls.cost.min(0), core.unit_cost)
    for kind, row in enumerate(instance.on_each_device()):
        groups = [
            (cost, core.nodes[core.net_pins[a:b]])
            for cost, a, b in zip(core.device_net_cost[kind].tolist(), core.net_ptr, core.net_ptr[1:], strict=False)
        ]
        for u in np.unique(tolls.unit[tolls.unit >= 0]).tolist():
            members = np.flatnonzero(tolls.unit == u)
            takers = [top.succs[top.succ_ptr[v] : top.succ_ptr[v + 1]] for v in members]
            groups.append((int(tolls.cost[kind, u]), np.union1d(members, np.concatenate(takers))))
        if len(tolls.feeder):
            readers = top.succs[top.succ_ptr[tolls.feeder[0]] : top.succ_ptr[tolls.feeder[0] + 1]]
            sources = np.intersect1d(np.flatnonzero(tolls.fed), readers)
            groups.append((int(tolls.feeding_cost[kind]), np.array([tolls.feeder[0], *sources, *tolls.takers])))
        nothing = np.zeros(n, np.int64)
        free = replace(row, work=nothing, parameter_cost=nothing, shared_cost=0 * row.shared_cost)
        for stage in np.random.default_rng(seed).integers(0, 1 << n, 300).tolist():
            inside = (stage >> np.arange(n)) & 1
            assert sum(cost * (0 < inside[g].sum() < len(g)) for cost, g in groups) <= stage_cost(free, stage)


@settings(EXHAUSTIVE, max_examples=120)
@given(SEEDS)
def test_nothing_possible_is_refuted(seed: int) -> None:
    problem, fluid = priced_attention(seed)
    optimum, instance = brute_force_optimum(problem), problem.instance
    crowded: BoolArray = np.random.default_rng([seed, 5]).random(instance.n) < 0.5
    core = build_core(instance, fluid)
    lattice, device = enumerate_ideals(core.order, max_ideals=100_000), stage_devices(instance, problem.stages)
    variants = all_variants(core, seed, optimum, crowded)
    search = UnequalFluidSearch(core, lattice, device, variants, crowded)
    for variant, threshold in product(variants, (optimum, optimum + 1, 2 * optimum + 3)):
        assert search.decide(problem.stages, threshold, never, variant=variant) is not None
        assert search.reach(problem.stages, threshold, never, variant=variant) is not None


@EXHAUSTIVE
@given(SEEDS)
def test_fluid_weighs_no_more_than_on_any_device(seed: int) -> None:
    problem, fluid = priced_attention(seed)
    instance = problem.instance
    crowded: BoolArray = np.random.default_rng([seed, 5]).random(instance.n) < 0.5
    core = build_core(instance, fluid)
    lattice, device = enumerate_ideals(core.order, max_ideals=100_000), stage_devices(instance, problem.stages)
    tables = DeviceTables(core, lattice, device.tolist(), crowded, never)
    for variant in device_variants(core, brute_force_optimum(problem), crowded):
        weights, weight = weights_of(variant), tables.of(variant).weight
        for z, y, row in zip(weights.work, weights.streams, core.instance.on_each_device(), strict=True):
            counted = np.where(crowded, row.parameter_cost, 0) if variant.counted else row.parameter_cost
            assert (weight <= (z * row.work + y * counted)[core.fluid]).all()
        assert not (weight % variant.grain).any()


def both(
    instance: Instance, mask: BoolArray, crowded: BoolArray | None, stages: int
) -> tuple[FluidSearch, UnequalFluidSearch, list[tuple[Variant, Variant]]]:
    """Return what decides with equal stages, and with two kinds of equal devices, and their variants in pairs."""
    same = make_unequal(instance, [instance, instance], np.arange(stages) % 2)
    core, other = build_core(instance, mask), build_core(same, mask)
    lattice = enumerate_ideals(core.order, max_ideals=300_000)
    uniform = FluidSearch(core, lattice, crowded, toll_variants(core))
    pairs = []
    for variant in uniform.variants:
        streams = int(variant.counted != Counted.WORK)
        devices = DeviceWeights(work=(1, 1), streams=(streams, streams))
        counted = Counted.CROWDED if variant.counted == Counted.CROWDED else Counted.WORK
        pairs.append((variant, Variant(counted=counted, by_unit=variant.by_unit, devices=devices)))
    device, variants = stage_devices(same, stages), [other for _, other in pairs]
    return uniform, UnequalFluidSearch(other, lattice, device, variants, crowded), pairs


def thresholds(instance: Instance, stages: int) -> Iterator[int]:
    yield from range(instance.total_work // stages, instance.total_work, max(1, instance.total_work // 60))


@EXHAUSTIVE
@given(SEEDS)
def test_equal_devices_refute_what_equal_stages_do(seed: int) -> None:
    problem, paths = random_cross_attention(seed)
    instance, stages = problem.instance, problem.stages
    mask = np.zeros(instance.n, np.bool_)
    mask[paths] = True
    crowded: BoolArray = np.random.default_rng([seed, 5]).random(instance.n) < 0.5
    uniform, search, pairs = both(instance, mask, crowded, stages)
    optimum = brute_force_optimum(problem)
    for threshold in thresholds(instance, stages):
        refuted = [search.decide(stages, threshold, never, variant=variant) is None for _, variant in pairs]
        before = [uniform.decide(stages, threshold, never, variant=plain) is None for plain, _ in pairs]
        assert threshold < optimum or not any(refuted)
        # With equal stages a variant is helped by the weights of the others: alone, one may refute less on devices.
        assert all(equal or not device for equal, device in zip(before, refuted, strict=True))
        assert any(refuted) == any(before)


def tables_and_heads(shared: bool) -> tuple[Instance, BoolArray, IntArray]:
    """Return tables of different weights that feed a chain of heads, the mask of the tables, and a device a stage."""
    weights, heads = [8, 8, 8, 12, 12, 18, 27, 40, 60], 1 + shared
    tables, first = list(range(1, len(weights) + 1)), len(weights) + 1
    tensors = [(0, 6, tables), *((v, 4, [first + v % heads]) for v in tables)]
    tensors += [(first, 1, [first + 1])] * shared
    extra = [(3, [0, first, first + 1])] * shared
    base = instance_from_lists([3, *weights, *[2] * heads], tensors, shared=extra, capacity=2)
    mask = np.zeros(base.n, np.bool_)
    mask[tables] = True
    if shared:
        return base, mask, np.zeros(3, np.int64)
    slow = replace(base, work=2 * base.work, tensor_cost=3 * base.tensor_cost)
    device = np.array([0, 1, 0])
    return make_unequal(base, [base, slow], device), mask, device


@pytest.mark.parametrize("shared", [False, True])
def test_tolls_refute_more_than_nets_do(shared: bool) -> None:
    instance, mask, device = tables_and_heads(shared)
    problem, gained = Problem(instance=instance, stages=3), {"tolls": 0, "units": 0}
    optimum = brute_force_optimum(problem)
    core, bare = build_core(instance, mask), build_core(instance, mask, tolled=False)
    assert (core.unit >= 0).any()
    lattice = enumerate_ideals(core.order, max_ideals=1000)
    basic, units = list(device_variants(core, optimum)[:1]), list(toll_variants(core, priced=True))
    search = UnequalFluidSearch(core, lattice, device, basic + units)
    without = UnequalFluidSearch(bare, lattice, device, basic)
    for threshold in range(optimum // 2, optimum):
        plain = without.decide(3, threshold, never, variant=basic[0]) is None
        tolled = search.decide(3, threshold, never, variant=basic[0]) is None
        by_unit = any(search.decide(3, threshold, never, variant=one) is None for one in units)
        gained["tolls"] += tolled and not plain
        gained["units"] += by_unit and not plain and not tolled
    assert all(gained.values())


@pytest.mark.parametrize("shares", [False, True])
def test_crowded_sections_refute_what_no_other_variant_does(shares: bool) -> None:
    base, stages = alternating_sections(6), 8
    if shares:
        # Of the two nodes around a crowded section that do nothing but hold it together.
        instance = replace(base, shared=shared_by([[13, 26]]), shared_cost=np.array([2], np.int64))
    else:
        far = replace(base, tensor_cost=2 * base.tensor_cost)
        instance = make_unequal(base, [base, far], np.arange(stages) % 2)
    crowded = crowded_nodes(instance, closure(instance), 20)
    assert crowded is not None
    assert crowded.tolist() == (base.parameter_cost > 0).tolist()
    core = build_core(instance, base.work > 1, tolled=False)
    variants = device_variants(core, 20, crowded)
    lattice, device = enumerate_ideals(core.order, max_ideals=1000), stage_devices(instance, stages)
    search = UnequalFluidSearch(core, lattice, device, variants, crowded)
    sliced = slicer_of(instance, np.arange(instance.n)).solve(stages)
    assert sliced is not None
    only = 0
    for threshold in range(55, 80):
        refuting = [one.counted for one in variants if search.decide(stages, threshold, never, variant=one) is None]
        if set(refuting) == {Counted.CROWDED}:
            only += 1
            assert threshold < sliced.value
    assert only > 0

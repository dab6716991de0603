"""Thresholds decided on cores where stages run on different devices, against exhaustion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck
from framework.model.unequal import UnequalStages, make_unequal
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import FluidCore, build_core
from framework.structure.fluid.interchangeable import find_chains
from framework.structure.fluid.reversal import read_backwards
from framework.structure.fluid.rounding import place_fluid
from framework.structure.fluid.unequal_chain_dp import UnequalFluidSearch, stage_devices
from framework.structure.fluid.variants import Variant, device_variants, needs_prices, tied_variants
from framework.structure.ideals.held import held_by
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.poset.closure import BoolArray, Closure, closure
from framework.structure.primal.unrelated_machines import DeviceWeights
from framework.testing.brute_force import brute_force_optimum, stage_cost
from framework.testing.instances import random_layered_instance, random_shared_problem, random_unequal_problem

SEEDS = st.integers(0, 2**32 - 1)
EXHAUSTIVE = settings(derandomize=True, deadline=None, max_examples=120)


def never() -> bool:
    return False


def problem_of(seed: int) -> Problem:
    """Return a problem with different devices, shared parameters, or both."""
    return (random_shared_problem(seed) if seed % 3 == 0 else random_unequal_problem(seed)).without_limit()


def prices_of(instance: Instance) -> UnequalStages:
    assert instance.unequal is not None
    return instance.unequal


def random_mask(instance: Instance, seed: int) -> BoolArray:
    rng = np.random.default_rng([seed, 2])
    mask: BoolArray = rng.random(instance.n) < rng.choice([0.2, 0.5, 0.8])
    mask[int(rng.integers(instance.n))] = False
    return mask


def variants_of(core: FluidCore, seed: int, threshold: int) -> list[Variant]:
    """Return the variants that are used, and others with weights and grains drawn at random."""
    rng, instance = np.random.default_rng([seed, 9]), core.instance
    overflows = [row.can_overflow for row in instance.on_each_device()]
    variants = [*device_variants(core, threshold), *tied_variants(core, priced=True)]
    for grain in (1, 1, int(rng.integers(2, 40))):
        work = rng.integers(1, 9, len(overflows))
        streams = rng.integers(0, work + 1) * overflows
        devices = DeviceWeights(work=tuple(work.tolist()), streams=tuple(streams.tolist()))
        variants.append(Variant(devices=devices, grain=grain))
        if len(core.ties.cost):
            variants.append(Variant(devices=devices, tied=True))
    return variants


def searches(core: FluidCore, stages: int, variants: list[Variant]) -> Iterator[tuple[UnequalFluidSearch, bool]]:
    """Yield what decides on a core forwards and backwards, and whether it is read backwards."""
    lattice, device = enumerate_ideals(core.order, max_ideals=100_000), stage_devices(core.instance, stages)
    yield UnequalFluidSearch(core, lattice, device, variants), False
    yield UnequalFluidSearch(*read_backwards(core, lattice), device[::-1], variants), True


@EXHAUSTIVE
@given(SEEDS)
def test_no_stage_pays_more_for_nets_than_for_tensors_on_its_device(seed: int) -> None:
    instance = problem_of(seed).instance
    core = build_core(instance, random_mask(instance, seed), tolled=False)
    assert np.array_equal(core.net_cost, core.device_net_cost.min(0))
    for kind, row in enumerate(instance.on_each_device()):
        nothing = np.zeros(row.n, np.int64)
        free = replace(row, work=nothing, parameter_cost=nothing)
        for stage in range(1 << row.n):
            inside = (stage >> core.nodes) & 1
            paid = 0
            for i, cost in enumerate(core.device_net_cost[kind].tolist()):
                pins = inside[core.net_pins[core.net_ptr[i] : core.net_ptr[i + 1]]]
                paid += cost * (0 < pins.sum() < len(pins))
            assert paid <= stage_cost(free, stage)


@EXHAUSTIVE
@given(SEEDS)
def test_cores_hold_no_more_than_stages_do(seed: int) -> None:
    instance, rng = random_shared_problem(seed).without_limit().instance, np.random.default_rng([seed, 6])
    kind = rng.integers(0, 3, instance.n)
    held = held_by(instance, kind == 0, kind == 1)
    assert (kind[held.shared.users] == 0).all()
    assert not (held.parameter_cost - instance.parameter_cost)[kind == 2].any()
    for stage in range(1 << instance.n):
        inside = (stage >> np.arange(instance.n)) & 1
        sums = [
            int(one.parameter_cost[inside == 1].sum()) + int(one.shared.sums(one.shared_cost, inside, 2)[1])
            for one in (held, instance)
        ]
        assert sums[0] <= sums[1]
        if (kind == 0).all():
            assert sums[0] == sums[1]


@EXHAUSTIVE
@given(SEEDS)
def test_nothing_possible_is_refuted(seed: int) -> None:
    problem = problem_of(seed)
    optimum = brute_force_optimum(problem)
    core = build_core(problem.instance, random_mask(problem.instance, seed), tolled=False)
    for search, backwards in searches(core, problem.stages, variants_of(core, seed, optimum)):
        for variant in search.variants:
            for threshold in (optimum, optimum + 1, 3 * optimum + 5):
                plan = search.decide(problem.stages, threshold, never, variant=variant)
                assert plan is not None
                assert plan.fluid_done[-1] == search.fluid_weight(variant)
                if not backwards:
                    assert bottleneck(problem, place_fluid(problem, core, plan.stage_of_core)) >= optimum


@EXHAUSTIVE
@given(SEEDS)
def test_without_fluid_it_is_exact(seed: int) -> None:
    problem = problem_of(seed)
    optimum = brute_force_optimum(problem)
    core = build_core(problem.instance, np.zeros(problem.instance.n, np.bool_))
    for search, backwards in searches(core, problem.stages, list(device_variants(core, optimum))):
        for variant in search.variants:
            assert not optimum or search.decide(problem.stages, optimum - 1, never, variant=variant) is None
            plan = search.decide(problem.stages, optimum, never, variant=variant)
            assert plan is not None
            stage_of = problem.stages - 1 - plan.stage_of_core[::-1] if backwards else plan.stage_of_core
            assert bottleneck(problem, Partition(stage_of=stage_of)) <= optimum


def fluid_of_prefixes(search: UnequalFluidSearch, weight: IntArray) -> tuple[list[set[int]], list[int], list[int]]:
    """Return the ideals of the core as sets of nodes, and Mx and Mn of each, from their definition."""
    core = search.core
    whole, nodes, fluid = closure(core.instance), core.nodes.tolist(), core.fluid.tolist()
    ideals = [{nodes[j] for j in range(len(nodes)) if int(row[j >> 6]) >> (j & 63) & 1} for row in search.lattice.bits]
    most = [
        sum(int(a) for f, a in zip(fluid, weight, strict=True) if not ancestors(whole, f, set(nodes) - ideal))
        for ideal in ideals
    ]
    least = [
        sum(int(a) for f, a in zip(fluid, weight, strict=True) if any(whole.is_ancestor(f, v) for v in ideal))
        for ideal in ideals
    ]
    return ideals, most, least


def ancestors(whole: Closure, f: int, nodes: set[int]) -> bool:
    return any(whole.is_ancestor(v, f) for v in nodes)


def reference_decides(search: UnequalFluidSearch, threshold: int, variant: Variant) -> bool:
    """The program of the module straight from (1), without (2) and without any pruning; whether it is satisfied."""
    core, priced, devices = search.core, search.core.instance.on_each_device(), variant.devices
    assert devices is not None
    each = [
        z * row.work + y * row.parameter_cost for z, y, row in zip(devices.work, devices.streams, priced, strict=True)
    ]
    weight = np.stack(each)[:, core.fluid].min(0)
    weight -= weight % variant.grain
    ideals, most, least = fluid_of_prefixes(search, weight)
    number = {v: i for i, v in enumerate(core.nodes.tolist())}
    nets = [set(core.net_pins[a:b].tolist()) for a, b in zip(core.net_ptr, core.net_ptr[1:], strict=False)]
    done = {0: 0}
    for kind in search._device:
        following: dict[int, int] = {}
        for (i, value), j in product(done.items(), range(len(ideals))):
            if not ideals[i] <= ideals[j]:
                continue
            stage = sorted(ideals[j] - ideals[i])
            inside = {number[v] for v in stage}
            paid = sum(
                int(cost)
                for cost, net in zip(core.device_net_cost[kind], nets, strict=True)
                if inside & net and net - inside
            )
            row = priced[kind]
            work, capacity = int(row.work[stage].sum()) + paid, row.bounded_capacity
            holder = np.isin(np.arange(row.n), stage).astype(np.int64)
            parameters = int(row.parameter_cost[stage].sum()) + int(row.shared.sums(row.shared_cost, holder, 2)[1])
            over = max(0, parameters - capacity)
            speed, streams = devices.work[kind], devices.streams[kind]
            room = speed * (threshold - work) - (speed * over if streams == 0 else streams * (parameters - capacity))
            if work + over > threshold or room < 0:
                continue
            reached = min(most[j], value + room - room % variant.grain)
            if reached >= max(least[j], following.get(j, 0)):
                following[j] = reached
        done = following
    return done.get(len(ideals) - 1, -1) >= int(weight.sum())


@settings(derandomize=True, deadline=None, max_examples=80)
@given(SEEDS)
def test_pruning_only_adds_what_follows_from_other_weights(seed: int) -> None:
    problem = problem_of(seed)
    core = build_core(problem.instance, random_mask(problem.instance, seed), tolled=False)
    optimum = brute_force_optimum(problem)
    kinds = len(problem.instance.on_each_device())
    one = DeviceWeights(work=(1,) * kinds, streams=(0,) * kinds)
    variants = [Variant(devices=one), *variants_of(core, seed, optimum)]
    search, _ = next(searches(core, problem.stages, variants))
    for variant, share in product(search.variants, range(4, 9)):
        plan = search.decide(problem.stages, optimum * share // 8, never, variant=variant)
        assert plan is None or reference_decides(search, optimum * share // 8, variant)


@EXHAUSTIVE
@given(SEEDS)
def test_reached_states_hold_every_partition(seed: int) -> None:
    problem = problem_of(seed)
    core, k = build_core(problem.instance, random_mask(problem.instance, seed), tolled=False), problem.stages
    optimum = brute_force_optimum(problem)
    top, rng = problem.instance.topology, np.random.default_rng([seed, 4])
    partitions = []
    for _ in range(60):
        stage_of = rng.integers(0, k, problem.instance.n)
        for v in range(problem.instance.n):
            stage_of[v] = max([stage_of[v], *stage_of[top.preds[top.pred_ptr[v] : top.pred_ptr[v + 1]]]])
        partitions.append(Partition(stage_of=stage_of))
    threshold = max(optimum, int(np.median([bottleneck(problem, one) for one in partitions])))
    for search, backwards in searches(core, problem.stages, variants_of(core, seed, optimum)):
        nodes = search.core.nodes
        number = {row.tobytes(): i for i, row in enumerate(search.lattice.bits)}
        for variant in search.variants:
            reached = search.reach(k, threshold, never, variant=variant)
            assert reached is not None
            weight = search._tables.of(variant).weight
            for partition in partitions:
                if bottleneck(problem, partition) > threshold:
                    continue
                stage = k - 1 - partition.stage_of if backwards else partition.stage_of
                for b, (ideals, values) in enumerate(reached, start=1):
                    bits = np.zeros(search.lattice.bits.shape[1], np.uint64)
                    for j in np.flatnonzero(stage[nodes] < b).tolist():
                        bits[j >> 6] |= np.uint64(1) << np.uint64(j & 63)
                    at = np.flatnonzero(ideals == number[bits.tobytes()])
                    assert len(at) == 1
                    assert values[at[0]] >= weight[stage[search.core.fluid] < b].sum()


@pytest.mark.parametrize("share", [None, 0.1])
@pytest.mark.parametrize("seed", range(3))
def test_equal_devices_are_decided_as_equal_stages(seed: int, share: float | None) -> None:
    instance = random_layered_instance(seed, 40, width=5, capacity_share=share)
    stages = 5
    same = make_unequal(instance, [instance, instance], np.arange(stages) % 2)
    mask = random_mask(instance, seed)
    core, other = build_core(same, mask), build_core(instance, mask, tolled=False)
    lattice = enumerate_ideals(core.order, max_ideals=300_000)
    variants = device_variants(core, instance.total_work // stages)
    search, uniform = UnequalFluidSearch(core, lattice, prices_of(same).device, variants), FluidSearch(other, lattice)
    answers = set()
    for threshold in range(instance.total_work // stages, instance.total_work, instance.total_work // 50):
        for variant, plain in zip(variants, uniform.variants, strict=False):
            refuted = search.decide(stages, threshold, never, variant=variant) is None
            assert refuted == (uniform.decide(stages, threshold, never, variant=plain) is None)
            answers.add(refuted)
    assert answers == {True, False}


def test_fluid_takes_the_time_of_its_own_device() -> None:
    # Six units of fluid beside a chain of two: one device takes 1 for each, the other 3.
    base = instance_from_lists([0] * 8, [(0, 0, [1])])
    rows = [replace(base, work=np.array(work)) for work in ([4, 4] + [1] * 6, [4, 4] + [3] * 6)]
    instance = make_unequal(base, rows, np.array([0, 1]))
    core = build_core(instance, np.arange(8) > 1)
    devices = DeviceWeights(work=(3, 1), streams=(0, 0))
    search = UnequalFluidSearch(
        core, enumerate_ideals(core.order, max_ideals=9), np.array([0, 1]), [Variant(devices=devices)]
    )
    # With one node of the chain each, the devices have room for 3 (T - 4) + T - 4 of the weight 6 * 3. As if both were
    # the fast one, all fits into T = 7.
    assert search.decide(2, 7, never, variant=search.variants[0]) is None
    assert search.decide(2, 8, never, variant=search.variants[0]) is not None


def test_a_table_is_held_once_in_each_stage() -> None:
    # Two nodes that share a parameter of 6 with capacity 4, apart by one with 3 of its own, and a fluid one.
    shared = [(6, [0, 2])]
    tensors = [(0, 1, [1]), (1, 1, [2])]
    instance = instance_from_lists([2, 9, 2, 1], tensors, parameter_cost=[0, 3, 0, 0], capacity=4, shared=shared)
    assert needs_prices(instance)
    core = build_core(instance, np.arange(4) == 3)
    variants = device_variants(core, 9)
    search = UnequalFluidSearch(core, enumerate_ideals(core.order, max_ideals=9), np.zeros(2, np.int64), variants)
    # In one stage it overflows by 5. Apart, one stage of two nodes costs 11 + 1 + 5, with the fluid in the other.
    allowed = [t for t in range(25) if all(search.decide(2, t, never, variant=one) is not None for one in variants)]
    assert allowed[0] == brute_force_optimum(Problem(instance=instance, stages=2))


def test_whole_nodes_are_whole_on_each_device() -> None:
    # Nine nodes of 5 on one device, 8 on the other: at T = 15 two of each hold 2 * 3 + 2 * 1, not 2 * 3 + 2 * 1.8.
    base = instance_from_lists([0] * 10, [])
    rows = [replace(base, work=np.array([0] + [each] * 9)) for each in (5, 8)]
    instance = make_unequal(base, rows, np.array([0, 1, 0, 1]))
    core = build_core(instance, np.arange(10) > 0)
    variants = device_variants(core, 17)
    search = UnequalFluidSearch(core, enumerate_ideals(core.order, max_ideals=9), prices_of(instance).device, variants)
    assert {variant.grain > 1 for variant in variants} == {True, False}
    for variant in variants:
        refuted = [t for t in range(30) if search.decide(4, t, never, variant=variant) is None]
        assert refuted == list(range(16 if variant.grain > 1 else 14))


def test_chained_nodes_are_equal_on_every_device() -> None:
    base = instance_from_lists([2] * 6, [])
    rows = [base, replace(base, work=np.array([3, 3, 3, 3, 3, 4]))]
    instance = make_unequal(base, rows, np.array([0, 1]))
    chains = find_chains(instance, closure(instance), np.ones(6, np.bool_), least_weight=1, most=2)
    assert [chain.nodes.tolist() for chain in chains] == [[0, 1, 2, 3, 4]]


def test_stopping_claims_nothing() -> None:
    base = random_layered_instance(7, 60, width=6)
    instance = make_unequal(base, [base, replace(base, work=2 * base.work)], np.arange(4) % 2)
    core = build_core(instance, random_mask(instance, 7))
    lattice, device = enumerate_ideals(core.order, max_ideals=300_000), prices_of(instance).device
    variants = device_variants(core, base.total_work // 3)
    with pytest.raises(OutOfTimeError):
        UnequalFluidSearch(core, lattice, device, variants, should_stop=lambda: True)
    search = UnequalFluidSearch(core, lattice, device, variants)
    with pytest.raises(OutOfTimeError):
        search.decide(4, base.total_work // 2, lambda: True, variant=variants[0])
    with pytest.raises(OutOfTimeError):
        search.reach(4, base.total_work // 2, lambda: True, variant=variants[0])
    assert search.decide(4, -1, never, variant=variants[0]) is None
    assert search.reach(4, -1, never, variant=variants[0]) is None
    with pytest.raises(ValueError, match="3 stages on 4 devices"):
        search.decide(3, base.total_work, never, variant=variants[0])
    with pytest.raises(ValueError, match="complete"):
        UnequalFluidSearch(core, enumerate_ideals(core.order, max_ideals=5), device, variants)

"""Ties of divisible nodes to core nodes, and what they allow a stage to run, against exhaustion."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.arrays import IntArray
from framework.model.instance import UNLIMITED, Instance, instance_from_lists
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import FluidCore, build_core
from framework.structure.fluid.reversal import reverse_core
from framework.structure.fluid.tolls.ties import UNIT, TiedFluid, tied_fluid
from framework.structure.fluid.variants import tied_variants
from framework.structure.ideals.chain_dp import ChainSearch
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.poset.closure import BoolArray
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_instance

SEEDS = st.integers(0, 2**32 - 1)
EXHAUSTIVE = settings(derandomize=True, deadline=None, max_examples=120)


def never() -> bool:
    return False


def tied_core(seed: int) -> FluidCore:
    rng, instance = np.random.default_rng([seed, 2]), random_instance(seed, max_nodes=7)
    mask: BoolArray = rng.random(instance.n) < rng.choice([0.4, 0.7])
    mask[int(rng.integers(instance.n))] = False
    return build_core(instance, mask, tolled=bool(seed % 2))


def rows_of(core: FluidCore) -> list[tuple[int, set[int], set[int]]]:
    """Return the cost, the fluid nodes and the core nodes of each tie, as nodes of the instance."""
    ties = core.ties
    return [
        (
            int(ties.cost[i]),
            set(core.fluid[ties.fluid[ties.fluid_ptr[i] : ties.fluid_ptr[i + 1]]].tolist()),
            set(core.nodes[ties.pins[ties.pin_ptr[i] : ties.pin_ptr[i + 1]]].tolist()),
        )
        for i in range(len(ties.cost))
    ]


def beyond_nets(core: FluidCore, stage: set[int]) -> int:
    """Return what a stage pays for ties by (1) and (2) of the module."""
    paid = 0
    for cost, members, pins in rows_of(core):
        apart = bool(members & stage) and not pins & stage
        left = len(pins) == 1 and pins <= stage and not members <= stage
        paid += cost * (apart or left)
    return paid


def net_cuts(core: FluidCore, stage: set[int]) -> int:
    paid = 0
    for i, cost in enumerate(core.net_cost.tolist()):
        pins = set(core.nodes[core.net_pins[core.net_ptr[i] : core.net_ptr[i + 1]]].tolist())
        paid += cost * (0 < len(pins & stage) < len(pins))
    return paid


def subsets(items: list[int]) -> list[set[int]]:
    return [set(some) for some in chain.from_iterable(combinations(items, r) for r in range(len(items) + 1))]


@EXHAUSTIVE
@given(SEEDS)
def test_no_stage_pays_more_for_nets_and_ties_than_for_tensors(seed: int) -> None:
    core = tied_core(seed)
    instance, nothing = core.instance, np.zeros(core.instance.n, np.int64)
    free = replace(instance, work=nothing, parameter_cost=nothing, capacity=UNLIMITED)
    for bits in range(1 << instance.n):
        stage = {v for v in range(instance.n) if bits >> v & 1}
        assert net_cuts(core, stage) + beyond_nets(core, stage) <= stage_cost(free, bits)


@EXHAUSTIVE
@given(SEEDS)
def test_no_fluid_that_fits_with_its_ties_is_more_than_what_is_allowed(seed: int) -> None:
    core = tied_core(seed)
    rng = np.random.default_rng([seed, 3])
    weight = core.instance.work[core.fluid] + rng.integers(0, 5, len(core.fluid))
    tied = tied_fluid(core.ties, weight, core.order.n)
    number = {v: i for i, v in enumerate(core.fluid.tolist())}
    place = {v: i for i, v in enumerate(core.nodes.tolist())}
    for core_nodes in subsets(core.nodes.tolist()):
        near = tied.near[:, [place[x] for x in core_nodes]].sum(1)
        for fluid in subsets(core.fluid.tolist()):
            here = [number[v] for v in fluid]
            runs = int(weight[here].sum())
            room = runs + beyond_nets(core, core_nodes | fluid)
            for factor, inside, gained in zip(tied.factors.tolist(), tied.inside, near.tolist(), strict=True):
                # Only what is in the stage may be in it.
                assert UNIT * (runs - int(inside[here].sum()) - gained) <= room * factor


def unrolled(cells: int, feeds: int, leaves: int) -> Instance:
    """Return a node that sends a tensor to each of some cells, which send one to a last node each."""
    last = cells + 1
    tensors = [(0, feeds, [v]) for v in range(1, last)] + [(v, leaves, [last]) for v in range(1, last)]
    return instance_from_lists([1, *[10] * cells, 1], tensors)


def refuted(instance: Instance, fluid: BoolArray, stages: int, *, backwards: bool) -> tuple[int, int]:
    """Return the lowest thresholds that the plain variant and the one with ties do not refute."""
    core = build_core(instance, fluid, tolled=False)
    core = reverse_core(core) if backwards else core
    search = FluidSearch(core, enumerate_ideals(core.order, max_ideals=1000), further=tied_variants(core))
    plain, *_, tied = search.variants
    assert tied.tied
    lowest = []
    for variant in (plain, tied):
        threshold = 0
        while search.decide(stages, threshold, never, variant=variant) is None:
            threshold += 1
        lowest.append(threshold)
    return lowest[0], lowest[1]


def test_stages_of_cells_alone_pay_for_what_they_take_in_and_send() -> None:
    instance = unrolled(10, feeds=3, leaves=2)
    exact = ChainSearch(instance, enumerate_ideals(instance, max_ideals=2000))
    optimum = next(t for t in range(200) if exact.decide(4, t, never) is not None)
    for backwards in (False, True):
        plain, tied = refuted(instance, instance.work > 1, 4, backwards=backwards)
        assert plain < tied <= optimum


def test_ties_that_bring_nothing_have_no_factors() -> None:
    core = build_core(unrolled(4, feeds=0, leaves=0), np.array([False, *[True] * 4, False]), tolled=False)
    assert not len(core.ties.cost)
    assert tied_variants(core) == ()
    light: IntArray = np.full(4, 10**9, np.int64)
    core = build_core(unrolled(4, feeds=2, leaves=1), np.array([False, *[True] * 4, False]), tolled=False)
    none: TiedFluid = tied_fluid(core.ties, light, core.order.n)
    assert not len(none.factors)

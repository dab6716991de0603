"""Per ideal of a core: work, cut and parameters; and how much divisible work a stage between two ideals has room for.

Rows of ``facts``: WORK, PARAMETERS, CUT (the nets that cross), WEIGHT (what counts in the variant: work, or work and
parameters), MOST and LEAST (fluid weight that may, must be done: Mx, Mn), MOST_WORK and MOST_PARAMETERS (Mx in work, in
parameters), AVAILABLE and SPENT (parameters that may, must lie in or below an ideal, as far as the variant counts
them), OWNED (tolled weight whose owner lies in an ideal), FREE_MOST and FREE_LEAST (Mx and Mn without what is tolled),
FED and TAKERS (whether an ideal contains the producer of the common tensor, and how many of its placed consumers),
FEEDING (OWNED of the units that tensor feeds). Tolls, owners, units and the common tensor are defined in
`framework.structure.fluid.tolls.separation_costs`. Variants with tolls per unit
(`framework.structure.fluid.tolls.tolls_per_unit`) have OWNED_TOLLS, what the units owned in an ideal pay, in place of
FREE_MOST; they count tolls, not weight, in FEEDING, both in MOST and LEAST, and WEIGHT is less by OWNED_TOLLS.
Variants with ties (`framework.structure.fluid.tolls.ties`) have two rows from TIED on for each factor: g of the fluid
that may, and that must be done, each with G of the core nodes in an ideal.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.bit_sets import BitArray, holds
from framework.structure.fluid.tolls.ties import UNIT
from framework.structure.fluid.tolls.tolls_per_unit import run_by_unit
from framework.structure.ideals.lattice import Lattice
from framework.structure.kernel import inlined_kernel, kernel

WORK, PARAMETERS, CUT, WEIGHT, MOST, LEAST, MOST_WORK, MOST_PARAMETERS = range(8)
AVAILABLE, SPENT, OWNED, FREE_MOST, FREE_LEAST, FED, TAKERS, FEEDING = range(8, 16)
OWNED_TOLLS = FREE_MOST
PLAIN_FACTS, FACTS = 10, 16
"""Rows where nothing has a toll, and where something has."""
TIED = FACTS
"""The first row of ties."""
ANY_NUMBER = 1 << 61
"""More parameters than any stages can hold, and free of overflow when a sum of costs is added."""


ROUNDING = 1e-9
"""What a rate is rounded up by: far above the error of a product of doubles, far below any tolerance."""


class Limits(NamedTuple):
    """What a stage keeps to in a decision, and how it is counted.

    Attributes
    ----------
    threshold, allowance
        T, and what parameters may add to it at most: the capacity in variants that count them, or 0.
    capacity
        Parameters that a stage holds free of charge.
    fluid
        Weight X of all fluid.
    apart, exchangeable
        Whether overflow of the core counts apart (variant 0), and whether stages of fluid alone may be exchanged with
        others.
    overflows
        Whether parameters can overflow at all.
    rate
        The most weight per work of a fluid node.
    grain
        What the room for fluid of a stage is rounded down to a multiple of: 1 where fluid is divisible. See
        `framework.structure.fluid.variants`.
    toll, unit, feeding
        The least toll of a unit, the most weight of one, the cost of the common tensor; a toll of 0 where there is
        none. See `framework.structure.fluid.tolls.separation_costs`.
    factors
        ``[factors]`` those of ties, in multiples of 1 / `framework.structure.fluid.tolls.ties.UNIT`.
    by_unit, prefixes
        Whether each unit has its own toll, and the table of `framework.structure.fluid.tolls.tolls_per_unit`; empty if
        not.
    """

    threshold: int
    allowance: int
    capacity: int
    fluid: int
    apart: bool
    exchangeable: bool
    overflows: bool
    rate: float
    grain: int
    toll: int
    unit: int
    feeding: int
    factors: IntArray
    by_unit: bool
    prefixes: IntArray


class Nets(NamedTuple):
    """Nets of a core: cost, pins ``pins[ptr[t]:ptr[t + 1]]``, and the nets of each node."""

    cost: IntArray
    ptr: IntArray
    pins: IntArray
    node_ptr: IntArray
    node_nets: IntArray


class Fluid(NamedTuple):
    """Fluid nodes beside a core: bit sets of core nodes for each, and the fluid of each core node as rows."""

    sets: BitArray
    ptr: IntArray
    nodes: IntArray


@kernel
def fill_cuts(lattice: Lattice, nets: Nets, cuts: IntArray, first: int, last: int) -> None:
    """Fill the cuts of what covers the ideals ``first`` to ``last - 1``; they are -1 where unknown."""
    for ideal in range(first, last):
        for e in range(lattice.edge_ptr[ideal], lattice.edge_ptr[ideal + 1]):
            there = lattice.edge_ideal[e]
            if cuts[there] < 0:
                cuts[there] = cuts[ideal] + _cut_change(lattice.bits, nets, ideal, lattice.edge_node[e])


@kernel
def fill_fluid(
    lattice: Lattice,
    before_and_after: tuple[Fluid, Fluid],
    weights: IntArray,
    most: IntArray,
    least: IntArray,
    first: int,
    last: int,
) -> None:
    """Fill Mx and Mn of what covers the ideals ``first`` to ``last - 1``; ``most[0]`` is -1 where both are unknown.

    ``weights``: ``[kinds, fluid]``; ``most``, ``least``: ``[kinds, ideals]``, known of the empty ideal.
    """
    before, after = before_and_after
    bits, kinds = lattice.bits, len(weights)
    for ideal in range(first, last):
        for e in range(lattice.edge_ptr[ideal], lattice.edge_ptr[ideal + 1]):
            v, there = lattice.edge_node[e], lattice.edge_ideal[e]
            if most[0, there] >= 0:
                continue
            for kind in range(kinds):
                most[kind, there] = most[kind, ideal]
                least[kind, there] = least[kind, ideal]
            for i in range(after.ptr[v], after.ptr[v + 1]):
                f = after.nodes[i]
                ready = True
                for word in range(bits.shape[1]):
                    if after.sets[f, word] & ~bits[there, word]:
                        ready = False
                        break
                if ready:
                    for kind in range(kinds):
                        most[kind, there] += weights[kind, f]
            for i in range(before.ptr[v], before.ptr[v + 1]):
                f = before.nodes[i]
                new = True
                for word in range(bits.shape[1]):
                    if before.sets[f, word] & bits[ideal, word]:
                        new = False
                        break
                if new:
                    for kind in range(kinds):
                        least[kind, there] += weights[kind, f]


@kernel
def _cut_change(bits: BitArray, nets: Nets, ideal: int, v: int) -> int:
    """Return by how much the cut of an ideal grows when a node is added."""
    change = 0
    for i in range(nets.node_ptr[v], nets.node_ptr[v + 1]):
        t = nets.node_nets[i]
        inside = 0
        for x in range(nets.ptr[t], nets.ptr[t + 1]):
            if holds(bits, ideal, nets.pins[x]):
                inside += 1
        if inside == 0:
            change += nets.cost[t]
        elif inside == nets.ptr[t + 1] - nets.ptr[t] - 1:
            change -= nets.cost[t]
    return change


@inlined_kernel
def limit_of(facts: IntArray, limits: Limits, start: int, end: int, held: int) -> int:
    """Return what a stage between two ideals may weigh, fluid included: T, and its parameters up to the allowance.

    Its shared parameters weigh `held`.
    """
    within: int = facts[AVAILABLE, end] - facts[SPENT, start] + held
    return limits.threshold + min(limits.allowance, within)


@kernel
def run_with_tolls(room: int, owned: int, free: int, toll: int, weight: int) -> int:
    """Return the most fluid that a stage runs with so much room for fluid and tolls; negative if there is too little.

    A toll is due for as much as `weight` of what is run and not owned, or owned and not run, or for a part of that.
    """
    if room < owned:
        missing = owned - room
        return room - toll * -(-missing // (weight - toll))
    more = room - owned - free
    if more <= 0:
        return room
    units = more // (weight + toll)
    return owned + free + units * weight + max(0, more - units * (weight + toll) - toll)


@kernel
def _most_by_unit(facts: IntArray, start: int, end: int, weight_left: int, limits: Limits) -> int:
    """Return the fluid weight that fits, with tolls per unit and the common tensor; negative where tolls do not fit."""
    owned = facts[OWNED, end] - facts[OWNED, start]
    owned_tolls = facts[OWNED_TOLLS, end] - facts[OWNED_TOLLS, start]
    room = weight_left - owned_tolls
    takers = fed = 0
    if facts[FED, start]:
        takers = facts[TAKERS, end] - facts[TAKERS, start]
        fed = facts[FEEDING, end] - facts[FEEDING, start]
    elif facts[FED, end]:
        goal = facts.shape[1] - 1
        takers = facts[TAKERS, goal] - facts[TAKERS, end]
    if takers > 0:
        return run_by_unit(room - limits.feeding, owned, owned_tolls, limits.prefixes)
    most = run_by_unit(room, owned, owned_tolls, limits.prefixes)
    if fed > 0:
        without = min(most, room + owned_tolls - fed)
        most = max(without, run_by_unit(room - limits.feeding, owned, owned_tolls, limits.prefixes))
    return most


@inlined_kernel
def most_fluid(facts: IntArray, start: int, end: int, weight_left: int, cost_left: int, limits: Limits) -> int:
    """Return the fluid weight that fits a stage between two ideals with so much room for weight and for cost.

    Negative where not even the tolls fit.
    """
    given = weight_left
    if limits.by_unit:
        weight_left = _most_by_unit(facts, start, end, weight_left, limits)
    elif limits.toll:
        toll, weight = limits.toll, limits.unit
        owned = facts[OWNED, end] - facts[OWNED, start]
        free = facts[FREE_MOST, end] - facts[FREE_LEAST, start]
        room = weight_left
        weight_left = run_with_tolls(room, owned, free, toll, weight)
        # What takes the common tensor in, or, where it is made, in a later stage: placed nodes, and weight of units.
        takers = fed = 0
        if facts[FED, start]:
            takers = facts[TAKERS, end] - facts[TAKERS, start]
            fed = facts[FEEDING, end] - facts[FEEDING, start]
        elif facts[FED, end]:
            goal = facts.shape[1] - 1
            takers = facts[TAKERS, goal] - facts[TAKERS, end]
            fed = facts[FEEDING, goal] - facts[FEEDING, end]
        if takers > 0 or fed > 0:
            without = -1 if takers > 0 else min(weight_left, room - toll * -(-fed // weight))
            weight_left = max(without, run_with_tolls(room - limits.feeding, owned, free, toll, weight))
    for i in range(len(limits.factors)):
        factor = limits.factors[i]
        run = given // UNIT * factor + given % UNIT * factor // UNIT + 1
        weight_left = min(weight_left, run + facts[TIED + 2 * i, end] - facts[TIED + 2 * i + 1, start])
    if limits.grain > 1:
        weight_left -= weight_left % limits.grain
    # Without bound where fluid has no work; with no cost left either, the product is no number, and compares to none.
    by_cost = cost_left * limits.rate
    return int(by_cost) if by_cost < weight_left else weight_left


@kernel
def fluid_after_all(facts: IntArray, limits: Limits) -> int:
    """Return the most fluid that a stage after the whole core runs."""
    goal = facts.shape[1] - 1
    return most_fluid(facts, goal, goal, limit_of(facts, limits, goal, goal, 0), limits.threshold, limits)


def weight_rate(work: IntArray, weight: IntArray) -> float:
    """Return the largest weight of a fluid node per tick of its work, never too small; 0 where none weighs anything."""
    heavy = weight > 0
    if not heavy.any():
        return 0.0
    if not work[heavy].all():
        return float(np.inf)
    return float((weight[heavy] / work[heavy]).max()) * (1.0 + ROUNDING)

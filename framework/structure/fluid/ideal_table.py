"""Per ideal of a core: its work, cut and parameters, and the room that a stage between two ideals has.

Rows of ``facts``: WORK, PARAMETERS, CUT (the nets that cross), WEIGHT (what counts in the variant: work, or work and
parameters), MOST and LEAST (fluid weight that may, must be done: Mx, Mn), MOST_WORK and MOST_PARAMETERS (Mx in work, in
parameters), AVAILABLE and SPENT (parameters that may, must lie in or below an ideal, as far as the variant counts
them), OWNED (tolled weight whose owner lies in an ideal), FREE_MOST and FREE_LEAST (Mx and Mn without what is tolled),
FED and TAKERS (whether an ideal holds the producer of the common tensor, and how many of its placed consumers), FEEDING
(OWNED of the units that tensor feeds).

``rate``: the most weight per work of a fluid node. ``tolls``: None, or the least toll of a unit, the most weight of
one, the cost of the common tensor; see `framework.structure.fluid.separation_costs`.
"""

from __future__ import annotations

import numpy as np

from framework.model.topology import IntArray
from framework.structure.ideals.lattice import BitArray, SmallArray
from framework.structure.kernel import kernel

WORK, PARAMETERS, CUT, WEIGHT, MOST, LEAST, MOST_WORK, MOST_PARAMETERS = range(8)
AVAILABLE, SPENT, OWNED, FREE_MOST, FREE_LEAST, FED, TAKERS, FEEDING = range(8, 16)
PLAIN_FACTS, FACTS = 10, 16
"""Rows where nothing has a toll, and where something has."""
ANY_NUMBER = 1 << 61
"""More parameters than any stages can hold, and free of overflow when a sum of costs is added."""


ROUNDING = 1e-9
"""What a rate is rounded up by: far above the error of a product of doubles, far below any tolerance."""


@kernel
def fill_facts(
    bits: BitArray,
    edge_ptr: IntArray,
    edge_node: SmallArray,
    edge_ideal: SmallArray,
    net_cost: IntArray,
    net_ptr: IntArray,
    net_pins: IntArray,
    node_ptr: IntArray,
    node_nets: IntArray,
    after: BitArray,
    before: BitArray,
    after_ptr: IntArray,
    after_fluid: IntArray,
    before_ptr: IntArray,
    before_fluid: IntArray,
    fluid_weights: IntArray,
    facts: IntArray,
    most: IntArray,
    least: IntArray,
) -> None:
    """Fill cut, Mx and Mn of every ideal from one it covers; ``facts[CUT]`` is -1 where unknown.

    ``fluid_weights``: ``[kinds, fluid]``; ``most``, ``least``: ``[kinds, ideals]``, known of the empty ideal.
    """
    kinds = len(fluid_weights)
    one = np.uint64(1)
    for ideal in range(bits.shape[0]):
        for e in range(edge_ptr[ideal], edge_ptr[ideal + 1]):
            v, there = edge_node[e], edge_ideal[e]
            if facts[CUT, there] >= 0:
                continue
            cut = facts[CUT, ideal]
            for i in range(node_ptr[v], node_ptr[v + 1]):
                t = node_nets[i]
                inside = 0
                for x in range(net_ptr[t], net_ptr[t + 1]):
                    y = net_pins[x]
                    if (bits[ideal, y >> 6] >> np.uint64(y & 63)) & one:
                        inside += 1
                if inside == 0:
                    cut += net_cost[t]
                elif inside == net_ptr[t + 1] - net_ptr[t] - 1:
                    cut -= net_cost[t]
            facts[CUT, there] = cut
            for kind in range(kinds):
                most[kind, there] = most[kind, ideal]
                least[kind, there] = least[kind, ideal]
            for i in range(after_ptr[v], after_ptr[v + 1]):
                f = after_fluid[i]
                ready = True
                for word in range(bits.shape[1]):
                    if after[f, word] & ~bits[there, word]:
                        ready = False
                        break
                if ready:
                    for kind in range(kinds):
                        most[kind, there] += fluid_weights[kind, f]
            for i in range(before_ptr[v], before_ptr[v + 1]):
                f = before_fluid[i]
                new = True
                for word in range(bits.shape[1]):
                    if before[f, word] & bits[ideal, word]:
                        new = False
                        break
                if new:
                    for kind in range(kinds):
                        least[kind, there] += fluid_weights[kind, f]


@kernel
def limit_of(facts: IntArray, threshold: int, allowance: int, start: int, end: int) -> int:
    """Return what a stage between two ideals may weigh, fluid included: T, and its parameters up to the allowance."""
    within: int = facts[AVAILABLE, end] - facts[SPENT, start]
    return threshold + min(allowance, within)


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
def most_fluid(
    facts: IntArray, start: int, end: int, weight_left: int, cost_left: int, rate: float, tolls: IntArray | None
) -> int:
    """Return the fluid weight that fits a stage between two ideals with so much room for weight and for cost.

    Negative where not even the tolls fit.
    """
    # Decided when this is compiled: tolls make every step dearer, also where there are none.
    if tolls is not None:
        toll, weight = tolls[0], tolls[1]
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
            weight_left = max(without, run_with_tolls(room - tolls[2], owned, free, toll, weight))
    # Without bound where fluid has no work; with no cost left either, the product is no number, and compares to none.
    by_cost = cost_left * rate
    return int(by_cost) if by_cost < weight_left else weight_left


def weight_rate(work: IntArray, counted: IntArray) -> float:
    """Return the largest weight per tick of work, never too small; all fluid has the same weight as work: 1."""
    heavy = counted > 0
    if not heavy.any():
        return 1.0 + ROUNDING
    if not work[heavy].all():
        return float(np.inf)
    return float(1 + (counted[heavy] / work[heavy]).max()) * (1.0 + ROUNDING)

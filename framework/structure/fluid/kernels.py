"""The kernels of the chain relaxation, over a table of all ideals of a core.

The program is that of `framework.structure.fluid.chain_dp`, the table `framework.structure.fluid.ideal_table`.

``limits``: threshold T, allowance (what parameters may add to T at most: the capacity in variants that count them, or
0), capacity, fluid weight X, whether overflow of the core counts apart (variant 0), whether stages of fluid alone may
be exchanged with others. Rows of ``least``: what each of the tests of a walk compares, see `fill_least`.
"""

from __future__ import annotations

import numpy as np

from framework.model.topology import IntArray
from framework.structure.fluid.ideal_table import (
    AVAILABLE,
    CUT,
    LEAST,
    MOST,
    MOST_PARAMETERS,
    MOST_WORK,
    PARAMETERS,
    SPENT,
    WEIGHT,
    WORK,
    limit_of,
    most_fluid,
)
from framework.structure.ideals.lattice import BitArray, SmallArray
from framework.structure.kernel import allocating_kernel, kernel

LEAST_ROWS = 5
NEVER = 1 << 62
"""Above every value, and free of overflow when a sum of costs is added."""


@kernel
def fill_need(facts: IntArray, limits: IntArray, stages_left: int, need: IntArray) -> None:
    """Fill the least useful value of each ideal with so many stages left after it; NEVER where there is none."""
    threshold, allowance, capacity, fluid, apart, _ = limits
    goal = facts.shape[1] - 1
    for ideal in range(goal + 1):
        rest = facts[WORK, goal] - facts[WORK, ideal] + facts[CUT, ideal]
        over = facts[PARAMETERS, goal] - facts[PARAMETERS, ideal]
        over += facts[MOST_PARAMETERS, goal] - facts[MOST_PARAMETERS, ideal]
        over = max(0, over - stages_left * capacity)
        need[ideal] = NEVER
        if rest + facts[MOST_WORK, goal] - facts[MOST_WORK, ideal] + over > stages_left * threshold:
            continue
        rest = facts[WEIGHT, goal] - facts[WEIGHT, ideal] + facts[CUT, ideal] + fluid
        if apart:
            rest += over
        parameters = facts[AVAILABLE, goal] - facts[SPENT, ideal]
        rest -= stages_left * threshold + min(stages_left * allowance, parameters)
        value = max(facts[LEAST, ideal], rest)
        if value <= facts[MOST, ideal]:
            need[ideal] = value


@kernel
def fill_least(
    facts: IntArray,
    edge_ptr: IntArray,
    edge_ideal: SmallArray,
    need: IntArray,
    best: IntArray,
    first: int,
    final: int,
    least: IntArray,
) -> int:
    """Fill, for each ideal, minima over the ideals above it (itself included) that a better value could be found for.

    From ideal `first` to the last one with such a value, which is returned and is at most `final`. Above an ideal there
    are only ideals with larger numbers. Rows: a + cut + value wanted; w + cut; w + p + cut; -Mn; and the first one less
    the parameters that may lie below.
    """
    last = first - 1
    for ideal in range(final, first - 1, -1):
        a = b = c = d = f = NEVER
        wanted = max(need[ideal], best[ideal] + 1)
        if wanted <= facts[MOST, ideal]:
            a = facts[WEIGHT, ideal] + facts[CUT, ideal] + wanted
            b = facts[WORK, ideal] + facts[CUT, ideal]
            c = b + facts[PARAMETERS, ideal]
            d = -facts[LEAST, ideal]
            f = a - facts[AVAILABLE, ideal]
            last = max(last, ideal)
        elif last < first:
            continue
        for e in range(edge_ptr[ideal], edge_ptr[ideal + 1]):
            there = edge_ideal[e]
            if there > last:
                continue
            a = min(a, least[0, there])
            b = min(b, least[1, there])
            c = min(c, least[2, there])
            d = min(d, least[3, there])
            f = min(f, least[4, there])
        least[0, ideal], least[1, ideal], least[2, ideal], least[3, ideal], least[4, ideal] = a, b, c, d, f
    return last


@kernel
def finishing_state(
    facts: IntArray,
    limits: IntArray,
    rate: float,
    tolls: IntArray | None,
    stages_left: int,
    ideals: IntArray,
    values: IntArray,
) -> int:
    """Return the first state from which one stage takes the rest of the core and the stages left all fluid, or -1."""
    threshold, allowance, capacity, fluid, apart, _ = limits
    goal = facts.shape[1] - 1
    alone = most_fluid(facts, goal, goal, limit_of(facts, threshold, allowance, goal, goal), threshold, rate, tolls)
    for s in range(len(ideals)):
        here = ideals[s]
        cost = facts[WORK, goal] - facts[WORK, here] + facts[CUT, here]
        over = max(0, facts[PARAMETERS, goal] - facts[PARAMETERS, here] - capacity)
        if cost + over > threshold:
            continue
        weight = facts[WEIGHT, goal] - facts[WEIGHT, here] + facts[CUT, here]
        if apart:
            weight += over
        limit = limit_of(facts, threshold, allowance, here, goal)
        # The fluid that feeds the core is done by then; the rest may follow.
        fits = most_fluid(facts, here, goal, limit - weight, threshold - cost - over, rate, tolls)
        value = values[s] + fits
        if weight <= limit and fits >= 0 and value >= facts[LEAST, goal] and value + (stages_left - 1) * alone >= fluid:
            return s
    return -1


@kernel
def carry(
    facts: IntArray,
    limits: IntArray,
    rate: float,
    tolls: IntArray | None,
    ideals: IntArray,
    values: IntArray,
    need: IntArray,
    best: IntArray,
    slot: IntArray,
    new_ideals: IntArray,
    new_values: IntArray,
    origins: IntArray,
    hurdles: IntArray,
) -> int:
    """Begin a level with the states that a stage of fluid alone leads to; return how many there are."""
    threshold, allowance, _, _, _, exchangeable = limits
    count = 0
    for s in range(len(ideals)):
        here = ideals[s]
        alone = most_fluid(facts, here, here, limit_of(facts, threshold, allowance, here, here), threshold, rate, tolls)
        value = min(facts[MOST, here], values[s] + alone)
        if need[here] <= value and value > best[here]:
            best[here] = value
            slot[here] = count
            new_ideals[count], new_values[count], origins[count] = here, value, s
            hurdles[count] = values[s] if exchangeable else -1
            count += 1
    return count


@allocating_kernel
def walk(
    facts: IntArray,
    limits: IntArray,
    rate: float,
    tolls: IntArray | None,
    bits: BitArray,
    edge_ptr: IntArray,
    edge_node: SmallArray,
    edge_ideal: SmallArray,
    net_cost: IntArray,
    net_ptr: IntArray,
    net_pins: IntArray,
    node_ptr: IntArray,
    node_nets: IntArray,
    overflows: bool,
    order: IntArray,
    ideals: IntArray,
    values: IntArray,
    hurdles: IntArray,
    need: IntArray,
    best: IntArray,
    least: IntArray,
    slot: IntArray,
    new_ideals: IntArray,
    new_values: IntArray,
    origins: IntArray,
    new_hurdles: IntArray,
    counters: IntArray,
    refill: int,
    most_steps: int,
) -> bool:
    """Extend the states of a level in the given order; return whether all are done.

    ``counters``: states taken, states of the new level, extensions; and of ``least``: extensions since it was filled
    (after `refill` times its edges it is filled anew), the first ideal of the level, the last one worth reaching.
    """
    one = np.uint64(1)
    threshold, allowance, capacity, _, apart, _ = limits
    m, depth_most = len(net_cost), len(node_ptr)
    # Per net, for the present start: who asked last, pins outside the start ideal, those of them in the stage.
    asked = np.full(m, -1, np.int64)
    waiting = np.zeros(m, np.int64)
    inside = np.zeros(m, np.int64)
    at = np.empty(depth_most, np.int64)
    edge = np.empty(depth_most, np.int64)
    added = np.empty(depth_most, np.int64)
    inbound = np.empty(depth_most, np.int64)
    done = np.empty(depth_most, np.int64)
    steps = 0
    while counters[0] < len(order):
        if steps > most_steps:
            counters[2] += steps
            return False
        if counters[3] > refill * (edge_ptr[counters[5] + 1] - edge_ptr[counters[4]]):
            counters[5] = fill_least(facts, edge_ptr, edge_ideal, need, best, counters[4], counters[5], least)
            counters[3] = 0
        s = order[counters[0]]
        counters[0] += 1
        start, value, hurdle = ideals[s], values[s], hurdles[s]
        crossing = facts[CUT, start]
        least_room = value + threshold + facts[WEIGHT, start] + crossing
        room = least_room + allowance
        own_room = least_room - facts[SPENT, start]
        core_room = threshold + facts[WORK, start] + crossing
        full_room = core_room + facts[PARAMETERS, start] + capacity
        last_useful = counters[5]
        if (
            start > last_useful
            or least[0, start] > room
            or least[4, start] > own_room
            or least[1, start] > core_room
            or (overflows and least[2, start] > full_room)
            or -least[3, start] <= hurdle
        ):
            continue
        first_step = steps
        depth = 0
        at[0], edge[0], added[0], inbound[0], done[0] = start, edge_ptr[start], -1, 0, 0
        while depth >= 0:
            here = at[depth]
            if edge[depth] == edge_ptr[here + 1]:
                # Take back the node that led here.
                v = added[depth]
                if v >= 0:
                    for i in range(node_ptr[v], node_ptr[v + 1]):
                        t = node_nets[i]
                        if inside[t] > 0:
                            inside[t] -= 1
                depth -= 1
                continue
            e = edge[depth]
            edge[depth] += 1
            v = edge_node[e]
            if v < added[depth]:
                continue
            there = edge_ideal[e]
            steps += 1
            if there > last_useful:
                continue
            cuts = inbound[depth] + done[depth]
            if (
                least[0, there] + cuts > room
                or least[4, there] + cuts > own_room
                or least[1, there] + cuts > core_room
                or (overflows and least[2, there] + cuts > full_room)
                or -least[3, there] <= hurdle
            ):
                continue
            own = facts[WORK, there] - facts[WORK, start]
            over = max(0, facts[PARAMETERS, there] - facts[PARAMETERS, start] - capacity)
            new_inbound, new_done = inbound[depth], done[depth]
            for i in range(node_ptr[v], node_ptr[v + 1]):
                t = node_nets[i]
                size = net_ptr[t + 1] - net_ptr[t]
                if asked[t] != s:
                    asked[t] = s
                    waiting[t] = size
                    for x in range(net_ptr[t], net_ptr[t + 1]):
                        y = net_pins[x]
                        if (bits[start, y >> 6] >> np.uint64(y & 63)) & one:
                            waiting[t] -= 1
                if waiting[t] == size:
                    # Nothing of it lies before the stage, so it is not brought in.
                    continue
                if inside[t] == 0:
                    new_inbound += net_cost[t]
                inside[t] += 1
                if inside[t] == waiting[t]:
                    new_done += net_cost[t]
            cuts = new_inbound + new_done
            if (
                own + new_inbound + over > threshold
                or least[0, there] + cuts > room
                or least[4, there] + cuts > own_room
                or least[1, there] + cuts > core_room
                or (overflows and least[2, there] + cuts > full_room)
            ):
                for i in range(node_ptr[v], node_ptr[v + 1]):
                    t = node_nets[i]
                    if inside[t] > 0:
                        inside[t] -= 1
                continue
            if need[there] != NEVER:
                paid = cuts + facts[CUT, there] - crossing
                weight = facts[WEIGHT, there] - facts[WEIGHT, start] + paid
                if apart:
                    weight += over
                limit = limit_of(facts, threshold, allowance, start, there)
                if own + paid + over <= threshold and weight <= limit:
                    fluid = most_fluid(facts, start, there, limit - weight, threshold - own - paid - over, rate, tolls)
                    result = min(facts[MOST, there], value + fluid)
                    if fluid >= 0 and result >= need[there] and result > best[there]:
                        best[there] = result
                        if slot[there] < 0:
                            slot[there] = counters[1]
                            counters[1] += 1
                        j = slot[there]
                        new_ideals[j], new_values[j], origins[j], new_hurdles[j] = there, result, s, -1
            depth += 1
            at[depth], edge[depth], added[depth] = there, edge_ptr[there], v
            inbound[depth], done[depth] = new_inbound, new_done
        counters[3] += steps - first_step
    counters[2] += steps
    return True

"""The kernels of `framework.structure.core_fluid`, over arrays of all ideals of a core.

Rows of ``facts``: WORK, PARAMETERS, CUT (the nets that cross), WEIGHT (what counts in the variant: work, or work and
parameters), MOST and LEAST (fluid weight that may, must be done: Mx, Mn), MOST_WORK and MOST_PARAMETERS (Mx in work, in
parameters), AVAILABLE and SPENT (parameters that may, must lie in or below an ideal, as far as the variant counts
them), OWNED (tolled weight whose owner lies in an ideal), FREE_MOST and FREE_LEAST (Mx and Mn without what is tolled),
FED, TAKERS (whether an ideal holds the producer of the common tensor, and how many of its placed consumers) and FEEDING
(OWNED of the units that tensor feeds). Rows of ``least``: what each of the tests of a walk compares, see `fill_least`.

``limits``: threshold T, allowance (what parameters may add to T at most: the capacity in variants that count them, or
0), capacity, fluid weight X, whether overflow of the core counts apart (variant 0), whether stages of fluid alone may
be exchanged with others. ``rate``: the most weight per work of a fluid node. ``tolls``: the least toll of a unit, the
most weight of one, the cost of the common tensor.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from framework.model.topology import IntArray
from framework.structure.ideals import BitArray, SmallArray

WORK, PARAMETERS, CUT, WEIGHT, MOST, LEAST, MOST_WORK, MOST_PARAMETERS, AVAILABLE, SPENT = range(10)
OWNED, FREE_MOST, FREE_LEAST, FED, TAKERS, FEEDING = 10, 11, 12, 13, 14, 15
FACTS, LEAST_ROWS = 16, 5
NEVER = 1 << 62
"""Above every value, and free of overflow when a sum of costs is added."""
ANY_NUMBER = 1 << 61
"""More parameters than any stages can hold, and free of overflow when a sum of costs is added."""


@njit(cache=True)
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


@njit(cache=True)
def limit_of(facts: IntArray, threshold: int, allowance: int, start: int, end: int) -> int:
    """Return what a stage between two ideals may weigh, fluid included: T, and its parameters up to the allowance."""
    within: int = facts[AVAILABLE, end] - facts[SPENT, start]
    return threshold + min(allowance, within)


@njit(cache=True)
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


@njit(cache=True)
def most_fluid(
    facts: IntArray, start: int, end: int, weight_left: int, cost_left: int, rate: float, tolls: IntArray
) -> int:
    """Return the fluid weight that fits a stage between two ideals with so much room for weight and for cost.

    Negative where not even the tolls fit.
    """
    toll, weight = tolls[0], tolls[1]
    if toll > 0:
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


@njit(cache=True)
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


@njit(cache=True)
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


@njit(cache=True)
def finishing_state(
    facts: IntArray, limits: IntArray, rate: float, tolls: IntArray, stages_left: int, ideals: IntArray, values: IntArray
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


@njit(cache=True)
def carry(
    facts: IntArray,
    limits: IntArray,
    rate: float,
    tolls: IntArray,
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


@njit(cache=True)
def walk(
    facts: IntArray,
    limits: IntArray,
    rate: float,
    tolls: IntArray,
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

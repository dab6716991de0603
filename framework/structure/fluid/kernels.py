"""The kernels of the chain relaxation, over a table of all ideals of a core.

The program is that of `framework.structure.fluid.chain_dp`, the table `framework.structure.fluid.ideal_table`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.bit_sets import holds
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
    Limits,
    Nets,
    limit_of,
    most_fluid,
)
from framework.structure.ideals.held import Shared, hold, release
from framework.structure.ideals.lattice import Lattice
from framework.structure.kernel import inlined_kernel, kernel

LEAST_ROWS = 5
NEVER = 1 << 62
"""Above every value, and free of overflow when a sum of costs is added."""
REFILL = 4
"""Extensions per edge of the lattice after which the minima of `Table.least` are filled anew."""
STEPS_A_CALL = 1_000_000
"""Extensions after which a call of `walk` returns to Python: some hundredths of a second."""

TAKEN, FOUND, STEPS, SINCE_FILLED, FIRST, LAST = range(6)
"""Counters of a walk: states taken, states of the new level, extensions; and of `Table.least`: extensions since it was
filled, the first ideal of the level, the last one worth reaching."""
COUNTERS = 6


class Table(NamedTuple):
    """What is known of each ideal, ``[ideals]``: facts, least useful value, best value so far, place in the new level.

    Rows of `least`: what each of the tests of a walk compares, see `fill_least`.
    """

    facts: IntArray
    need: IntArray
    best: IntArray
    slot: IntArray
    least: IntArray


class Level(NamedTuple):
    """The states after some stages: ideals, fluid values, the states they come from, and what fluid must exceed."""

    ideals: IntArray
    values: IntArray
    origins: IntArray
    hurdles: IntArray


class Path(NamedTuple):
    """Memory of a walk.

    Per net, for the present start: the state that asked last, pins outside the start ideal, those of them in the stage.
    Per node of the path: the ideal, its next edge, the node added last, and what comes in and what ends there.
    """

    asked: IntArray
    waiting: IntArray
    inside: IntArray
    at: IntArray
    edge: IntArray
    added: IntArray
    inbound: IntArray
    done: IntArray


class Held(NamedTuple):
    """Shared parameters of core nodes, and memory of a walk for what its stage holds.

    Of `shared`, `cost` is what a stage pays for one beyond the capacity, and `sizes` what one weighs. Memory: users in
    the stage of each, and per node of the path the sums of both.
    """

    shared: Shared
    users: IntArray
    cost_at: IntArray
    weight_at: IntArray


class Graph(NamedTuple):
    """What a walk goes through: the lattice of a core, the nets of each of its nodes, and memory."""

    lattice: Lattice
    nets: Nets
    path: Path


def graph_of(lattice: Lattice, nets: Nets) -> Graph:
    """Return lattice and nets with memory."""
    per_net = (np.empty(len(nets.cost), np.int64) for _ in range(3))
    per_node = (np.empty(len(nets.node_ptr), np.int64) for _ in range(5))
    return Graph(lattice, nets, Path(*per_net, *per_node))


@kernel
def fill_need(facts: IntArray, limits: Limits, stages_left: int, need: IntArray) -> None:
    """Fill the least useful value of each ideal with so many stages left after it; NEVER where there is none."""
    threshold, allowance, capacity = limits.threshold, limits.allowance, limits.capacity
    goal = facts.shape[1] - 1
    for ideal in range(goal + 1):
        rest = facts[WORK, goal] - facts[WORK, ideal] + facts[CUT, ideal]
        over = facts[PARAMETERS, goal] - facts[PARAMETERS, ideal]
        over += facts[MOST_PARAMETERS, goal] - facts[MOST_PARAMETERS, ideal]
        over = max(0, over - stages_left * capacity)
        need[ideal] = NEVER
        if rest + facts[MOST_WORK, goal] - facts[MOST_WORK, ideal] + over > stages_left * threshold:
            continue
        rest = facts[WEIGHT, goal] - facts[WEIGHT, ideal] + facts[CUT, ideal] + limits.fluid
        if limits.apart:
            rest += over
        parameters = facts[AVAILABLE, goal] - facts[SPENT, ideal]
        rest -= stages_left * threshold + min(stages_left * allowance, parameters)
        value = max(facts[LEAST, ideal], rest)
        if value <= facts[MOST, ideal]:
            need[ideal] = value


@kernel
def fill_least(lattice: Lattice, table: Table, first: int, final: int) -> int:
    """Fill, for each ideal, minima over the ideals above it (itself included) that a better value could be found for.

    From ideal `first` to the last one with such a value, at most `final`, which is returned. Ideals above have larger
    numbers. Rows: a + cut + value wanted; w + cut; w + p + cut; -Mn; the first less parameters that may lie below.
    """
    facts, need, best, least = table.facts, table.need, table.best, table.least
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
        for e in range(lattice.edge_ptr[ideal], lattice.edge_ptr[ideal + 1]):
            there = lattice.edge_ideal[e]
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
    facts: IntArray, limits: Limits, level: Level, later: int, held_cost: IntArray, held_weight: IntArray
) -> int:
    """Return the first state from which one stage takes the rest of the core and the stages left all fluid, or -1.

    The stages after it run at most `later` of the fluid. Shared parameters that the core beyond each ideal holds have
    such a cost and such a weight; the arrays are empty where there are none.
    """
    threshold, goal, more_cost, more_weight = limits.threshold, facts.shape[1] - 1, 0, 0
    for s in range(len(level.ideals)):
        here = level.ideals[s]
        if len(held_cost):
            more_cost, more_weight = held_cost[here], held_weight[here]
        cost = facts[WORK, goal] - facts[WORK, here] + facts[CUT, here]
        over = max(0, facts[PARAMETERS, goal] - facts[PARAMETERS, here] + more_cost - limits.capacity)
        if cost + over > threshold:
            continue
        weight = facts[WEIGHT, goal] - facts[WEIGHT, here] + facts[CUT, here] + more_weight
        if limits.apart:
            weight += over
        limit = limit_of(facts, limits, here, goal, more_weight)
        # The fluid that feeds the core is done by then; the rest may follow.
        fits = most_fluid(facts, here, goal, limit - weight, threshold - cost - over, limits)
        value = level.values[s] + fits
        if weight <= limit and fits >= 0 and value >= facts[LEAST, goal] and value + later >= limits.fluid:
            return s
    return -1


@kernel
def carry(limits: Limits, table: Table, level: Level, new: Level) -> int:
    """Begin a level with the states that a stage of fluid alone leads to; return how many there are."""
    facts, threshold = table.facts, limits.threshold
    count = 0
    for s in range(len(level.ideals)):
        here = level.ideals[s]
        alone = most_fluid(facts, here, here, limit_of(facts, limits, here, here, 0), threshold, limits)
        value = min(facts[MOST, here], level.values[s] + alone)
        if table.need[here] <= value and value > table.best[here]:
            table.best[here] = value
            table.slot[here] = count
            new.ideals[count], new.values[count], new.origins[count] = here, value, s
            new.hurdles[count] = level.values[s] if limits.exchangeable else -1
            count += 1
    return count


@kernel
def walk(
    limits: Limits,
    graph: Graph,
    table: Table,
    level: Level,
    new: Level,
    order: IntArray,
    counters: IntArray,
    held: Held | None,
) -> bool:
    """Extend the states of a level in the given order; return whether all are done. `counters` as named above.

    Without shared parameters, for which `held` is None, the compiled code has nothing of them.
    """
    edge_ptr = graph.lattice.edge_ptr
    for t in range(len(graph.path.asked)):
        graph.path.asked[t] = -1
        graph.path.inside[t] = 0
    if held is not None:
        for q in range(len(held.users)):
            held.users[q] = 0
    steps = 0
    while counters[TAKEN] < len(order):
        if steps > STEPS_A_CALL:
            counters[STEPS] += steps
            return False
        if counters[SINCE_FILLED] > REFILL * (edge_ptr[counters[LAST] + 1] - edge_ptr[counters[FIRST]]):
            counters[LAST] = fill_least(graph.lattice, table, counters[FIRST], counters[LAST])
            counters[SINCE_FILLED] = 0
        s = order[counters[TAKEN]]
        counters[TAKEN] += 1
        taken = _extend(limits, graph, table, level, new, s, counters, held)
        steps += taken
        counters[SINCE_FILLED] += taken
    counters[STEPS] += steps
    return True


@inlined_kernel
def _extend(
    limits: Limits, graph: Graph, table: Table, level: Level, new: Level, s: int, counters: IntArray, held: Held | None
) -> int:
    """Walk all stages that state `s` can be extended by; return how many extensions that took."""
    lattice, nets, path = graph.lattice, graph.nets, graph.path
    facts, least = table.facts, table.least
    edge_ptr, edge_node, edge_ideal = lattice.edge_ptr, lattice.edge_node, lattice.edge_ideal
    at, edge, added, inbound, done = path.at, path.edge, path.added, path.inbound, path.done
    threshold, overflows = limits.threshold, limits.overflows
    start, hurdle, last_useful = level.ideals[s], level.hurdles[s], counters[LAST]
    crossing = facts[CUT, start]
    least_room = level.values[s] + threshold + facts[WEIGHT, start] + crossing
    core_room = threshold + facts[WORK, start] + crossing
    rooms = (
        least_room + limits.allowance,
        least_room - facts[SPENT, start],
        core_room,
        core_room + facts[PARAMETERS, start] + limits.capacity,
    )
    if start > last_useful or not _fits(least, start, 0, 0, 0, rooms, overflows) or -least[3, start] <= hurdle:
        return 0
    steps = 0
    depth = 0
    held_cost = held_weight = 0
    if held is not None:
        held.cost_at[0] = held.weight_at[0] = 0
    at[0], edge[0], added[0], inbound[0], done[0] = start, edge_ptr[start], -1, 0, 0
    while depth >= 0:
        if edge[depth] == edge_ptr[at[depth] + 1]:
            if added[depth] >= 0:
                _take_back(nets, path, added[depth])
                if held is not None:
                    release(held.shared, held.users, added[depth])
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
        if held is not None:
            held_cost, held_weight = held.cost_at[depth], held.weight_at[depth]
        cuts = inbound[depth] + done[depth]
        if (
            not _fits(least, there, cuts, cuts + held_weight, cuts + held_cost, rooms, overflows)
            or -least[3, there] <= hurdle
        ):
            continue
        if held is not None:
            more_cost, more_weight = hold(held.shared, held.users, v)
            held_cost += more_cost
            held_weight += more_weight
        own = facts[WORK, there] - facts[WORK, start]
        over = max(0, facts[PARAMETERS, there] - facts[PARAMETERS, start] + held_cost - limits.capacity)
        more_inbound, more_done = _add(graph, start, s, v)
        new_inbound, new_done = inbound[depth] + more_inbound, done[depth] + more_done
        cuts = new_inbound + new_done
        if own + new_inbound + over > threshold or not _fits(
            least, there, cuts, cuts + held_weight, cuts + held_cost, rooms, overflows
        ):
            _take_back(nets, path, v)
            if held is not None:
                release(held.shared, held.users, v)
            continue
        if table.need[there] != NEVER:
            value = _value(facts, limits, level, s, there, cuts, held_cost, held_weight)
            if value >= table.need[there] and value > table.best[there]:
                table.best[there] = value
                if table.slot[there] < 0:
                    table.slot[there] = counters[FOUND]
                    counters[FOUND] += 1
                j = table.slot[there]
                new.ideals[j], new.values[j], new.origins[j], new.hurdles[j] = there, value, s, -1
        depth += 1
        at[depth], edge[depth], added[depth] = there, edge_ptr[there], v
        inbound[depth], done[depth] = new_inbound, new_done
        if held is not None:
            held.cost_at[depth], held.weight_at[depth] = held_cost, held_weight
    return steps


@inlined_kernel
def _fits(
    least: IntArray,
    ideal: int,
    cuts: int,
    weighed: int,
    streamed: int,
    rooms: tuple[int, int, int, int],
    overflows: bool,
) -> bool:
    """Whether a walk that pays `cuts` may find a useful ideal from this one on: see `fill_least`.

    With what shared parameters weigh, and cost, that is `weighed` and `streamed`. Where parameters are counted as far
    as a stage can hold them, the stage is allowed as much more as those weigh that it does hold.
    """
    return not (
        least[0, ideal] + weighed > rooms[0]
        or least[4, ideal] + cuts > rooms[1]
        or least[1, ideal] + cuts > rooms[2]
        or (overflows and least[2, ideal] + streamed > rooms[3])
    )


@inlined_kernel
def _add(graph: Graph, start: int, s: int, v: int) -> tuple[int, int]:
    """Count a node as in the stage; return what the nets that it brings in, and those that it ends, cost."""
    nets, path = graph.nets, graph.path
    asked, waiting, inside = path.asked, path.waiting, path.inside
    inbound = done = 0
    for i in range(nets.node_ptr[v], nets.node_ptr[v + 1]):
        t = nets.node_nets[i]
        size = nets.ptr[t + 1] - nets.ptr[t]
        if asked[t] != s:
            asked[t] = s
            waiting[t] = size
            for x in range(nets.ptr[t], nets.ptr[t + 1]):
                if holds(graph.lattice.bits, start, nets.pins[x]):
                    waiting[t] -= 1
        if waiting[t] == size:
            # Nothing of it lies before the stage, so it is not brought in.
            continue
        if inside[t] == 0:
            inbound += nets.cost[t]
        inside[t] += 1
        if inside[t] == waiting[t]:
            done += nets.cost[t]
    return inbound, done


@inlined_kernel
def _take_back(nets: Nets, path: Path, v: int) -> None:
    """Count a node as no longer in the stage."""
    inside = path.inside
    for i in range(nets.node_ptr[v], nets.node_ptr[v + 1]):
        t = nets.node_nets[i]
        if inside[t] > 0:
            inside[t] -= 1


@inlined_kernel
def _value(
    facts: IntArray, limits: Limits, level: Level, s: int, there: int, cuts: int, held_cost: int, held_weight: int
) -> int:
    """Return the most fluid done with an ideal that state `s` is extended to; -1 if that stage costs too much."""
    threshold, start = limits.threshold, level.ideals[s]
    own = facts[WORK, there] - facts[WORK, start]
    over = max(0, facts[PARAMETERS, there] - facts[PARAMETERS, start] + held_cost - limits.capacity)
    paid = cuts + facts[CUT, there] - facts[CUT, start]
    weight = facts[WEIGHT, there] - facts[WEIGHT, start] + paid + held_weight
    if limits.apart:
        weight += over
    limit = limit_of(facts, limits, start, there, held_weight)
    if own + paid + over > threshold or weight > limit:
        return -1
    fluid = most_fluid(facts, start, there, limit - weight, threshold - own - paid - over, limits)
    return min(facts[MOST, there], level.values[s] + fluid) if fluid >= 0 else -1

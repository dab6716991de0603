"""The loop of the core program, which may be compiled: what stages do to ideals of a core and the fluid done with them.

It is plain Python on lists. Where numba is at hand and there is much to do, the same code runs compiled on arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from framework.proof.walk import Numbers, compile_last

FAR = 1 << 61
"""Beyond all sums of costs."""
CHUNK = 15
"""Bits of a factor that `at_most` takes at a time: no product of the others leaves 64 bits."""
CHUNKS = 4


class CoreIdeals(NamedTuple):
    """All ideals of a core, smaller ones first, and what is known of each.

    From ideal i, adding node ``nodes[e]`` leads to ideal ``leads_to[e]``, for e from ``ptr[i]`` up to ``ptr[i + 1]``,
    nodes ascending; it was first found by adding ``last[i]`` to ideal ``found_from[i]``. Then sums over an ideal: the
    work; the parameters; the nets that it cuts; the weight of its nodes; the fluid that may and that must be done
    with it; the counted parameters that may be done with it, and that must.
    """

    ptr: Any
    nodes: Any
    leads_to: Any
    found_from: Any
    last: Any
    work: Any
    held: Any
    cut: Any
    weight: Any
    most: Any
    least: Any
    available: Any
    spent: Any


class Nets(NamedTuple):
    """Net t has the nodes ``pins[ptr[t]:ptr[t + 1]]``; node v is in the nets ``nets[node_ptr[v]:node_ptr[v + 1]]``."""

    cost: Numbers
    ptr: Numbers
    pins: Numbers
    node_ptr: Numbers
    nets: Numbers


class StageRules(NamedTuple):
    """What a stage keeps to: threshold; what counted parameters may add to it; capacity; the grain of fluid.

    Fluid of work x weighs at most ``x * whole + x * num / den``. `exchangeable`: whether stages of fluid alone may be
    put in any order.
    """

    threshold: int
    allowance: int
    capacity: int
    grain: int
    whole: int
    num: int
    den: int
    exchangeable: bool


class States(NamedTuple):
    """Per ideal: fluid done after the stages so far and what more must exceed it; what is needed, what is best by now.

    `hurdle` and `new_hurdle`: a state is only led to ideals with which more must be done than that. `found` marks what
    became better. Rows of `bars`: the least, over an ideal and all above, of what a walk compares.
    """

    value: Any
    hurdle: Any
    need: Any
    best: Any
    new_hurdle: Any
    found: Any
    bars: Any


class CoreScratch(NamedTuple):
    """Memory of a walk.

    Which nodes are in the start; per net the start that it was last looked at for, its nodes outside of that, and those
    of them in the stage; and a row for each node added: the ideal, its next edge, the node, in, ended.
    """

    member: Any
    asked: Any
    waiting: Any
    inside: Any
    path: Any


def at_most(rules: StageRules, work: int) -> int:
    """Return the most that fluid of so much work weighs, rounded down, without numbers beyond 64 bits."""
    if rules.whole == FAR or (work > 0 and rules.whole >= FAR // (2 * work)):
        return FAR
    weight, part, rest = work * rules.whole, 0, 0
    if rules.num:
        for chunk in range(CHUNKS - 1, -1, -1):
            rest = (rest << CHUNK) + rules.num * ((work >> (CHUNK * chunk)) & ((1 << CHUNK) - 1))
            part = (part << CHUNK) + rest // rules.den
            rest = rest % rules.den
    return weight + part


def fits(ideals: CoreIdeals, rules: StageRules, start: int, end: int, cuts: int) -> int:
    """Return the most fluid of a stage between two ideals that pays `cuts` for nets; -1 if it costs too much."""
    paid = cuts + ideals.cut[end] - ideals.cut[start]
    over = max(0, ideals.held[end] - ideals.held[start] - rules.capacity)
    left = rules.threshold - paid - over - (ideals.work[end] - ideals.work[start])
    counted = min(rules.allowance, ideals.available[end] - ideals.spent[start])
    room = rules.threshold + counted - paid - (ideals.weight[end] - ideals.weight[start])
    if left < 0 or room < 0:
        return -1
    room = min(room, at_most(rules, left))
    return int(room - room % rules.grain)


def hopeless(bars: Any, ideal: int, cuts: int, rooms: tuple[int, int, int, int], hurdle: int) -> bool:
    """Whether a stage that has come to an ideal, and pays `cuts`, can end nowhere above it where that is of use."""
    return bool(
        bars[0][ideal] + cuts > rooms[0]
        or bars[1][ideal] + cuts > rooms[1]
        or bars[2][ideal] + cuts > rooms[2]
        or bars[3][ideal] + cuts > rooms[3]
        or -bars[4][ideal] <= hurdle
    )


def lead_on(
    queue: Numbers, ideals: CoreIdeals, nets: Nets, rules: StageRules, states: States, scratch: CoreScratch
) -> int:
    """Raise `best` by one more stage from each ideal of the queue; return how many nodes were added in all."""
    member, asked, waiting, inside, path = scratch
    need, best, bars = states.need, states.best, states.bars
    steps = 0
    for start in queue:
        value, hurdle = states.value[start], states.hurdle[start]
        carried = min(ideals.most[start], value + fits(ideals, rules, start, start, 0))
        if carried >= need[start] and carried > best[start]:
            best[start], states.found[start] = carried, 1
            states.new_hurdle[start] = value if rules.exchangeable else -1
        core_room = rules.threshold + ideals.work[start] + ideals.cut[start]
        room = value + rules.threshold + ideals.weight[start] + ideals.cut[start]
        rooms = (
            room + rules.allowance,
            room - ideals.spent[start],
            core_room,
            core_room + ideals.held[start] + rules.capacity,
        )
        if hopeless(bars, start, 0, rooms, hurdle):
            continue
        i = start
        while i:
            member[ideals.last[i]] = 1
            i = ideals.found_from[i]
        depth = 0
        path[0][0], path[0][1], path[0][2], path[0][3], path[0][4] = start, ideals.ptr[start], -1, 0, 0
        while depth >= 0:
            at, edge, last = path[depth][0], path[depth][1], path[depth][2]
            leaving = -1
            if edge == ideals.ptr[at + 1]:
                leaving = last
                depth -= 1
            else:
                path[depth][1] = edge + 1
                v, to = ideals.nodes[edge], ideals.leads_to[edge]
                if v < last:
                    continue
                steps += 1
                enter, ended = path[depth][3], path[depth][4]
                if hopeless(bars, to, enter + ended, rooms, hurdle):
                    continue
                for i in range(nets.node_ptr[v], nets.node_ptr[v + 1]):
                    t = nets.nets[i]
                    size = nets.ptr[t + 1] - nets.ptr[t]
                    if asked[t] != start:
                        asked[t], waiting[t] = start, size
                        for j in range(nets.ptr[t], nets.ptr[t + 1]):
                            waiting[t] -= member[nets.pins[j]]
                    if waiting[t] == size:
                        continue
                    if inside[t] == 0:
                        enter += nets.cost[t]
                    inside[t] += 1
                    if inside[t] == waiting[t]:
                        ended += nets.cost[t]
                cuts = enter + ended
                if need[to] < FAR:
                    done = fits(ideals, rules, start, to, cuts)
                    done = min(ideals.most[to], value + done) if done >= 0 else -1
                    if done >= need[to] and done > best[to]:
                        best[to], states.found[to], states.new_hurdle[to] = done, 1, -1
                if hopeless(bars, to, cuts, rooms, hurdle):
                    leaving = v
                else:
                    depth += 1
                    row = path[depth]
                    row[0], row[1], row[2], row[3], row[4] = to, ideals.ptr[to], v, enter, ended
            if leaving >= 0:
                for i in range(nets.node_ptr[leaving], nets.node_ptr[leaving + 1]):
                    if inside[nets.nets[i]] > 0:
                        inside[nets.nets[i]] -= 1
        i = start
        while i:
            member[ideals.last[i]] = 0
            i = ideals.found_from[i]
    return steps


@cache
def compiled() -> Callable[..., int] | None:
    """Return `lead_on` compiled by numba, with what it calls; None where numba is missing."""
    return compile_last(at_most, fits, hopeless, lead_on)

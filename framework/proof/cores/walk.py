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
"""Bits of a factor that `part_of` takes at a time: no product of the others leaves 64 bits."""
CHUNKS = 4
PATH = 6
"""Columns of `CoreScratch.path`."""


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


class Held(NamedTuple):
    """Node v uses the shared parameters ``uses[ptr[v]:ptr[v + 1]]``; what each costs a stage, and what it weighs."""

    ptr: Numbers
    uses: Numbers
    cost: Numbers
    weight: Numbers


class Tolls(NamedTuple):
    """What a stage pays for fluid that it runs and does not own, or owns and does not run.

    Nothing without `rate`, which is the toll of each so much `weight`; or, if `by_unit`, tolls are found in `freed` and
    `saved`, sums over the first units in the order of a knapsack. `owned`: weight of ideals; `most`, `least`: of other
    fluid; or both times what all that is owned pays. Then the common tensor: its cost; whether an ideal holds its
    producer; how many of its readers; what the owned units that it feeds weigh, or pay.
    """

    rate: int
    weight: int
    by_unit: bool
    freed: Any
    saved: Any
    owned: Any
    most: Any
    least: Any
    common: int
    made: Any
    readers: Any
    fed: Any


class StageRules(NamedTuple):
    """What a stage keeps to: threshold; what counted parameters may add to it; capacity; the grain of fluid.

    `apart`: whether no parameters are counted, so that what overflows is taken from the room for fluid.
    Fluid of work x weighs at most ``x * whole + x * num / den``. `exchangeable`: whether stages of fluid alone may be
    put in any order.
    """

    threshold: int
    allowance: int
    capacity: int
    apart: bool
    grain: int
    whole: int
    num: int
    den: int
    exchangeable: bool


class States(NamedTuple):
    """Per ideal: fluid done after the stages so far and what more must exceed it; what is needed, what is best by now.

    `hurdle` and `new_hurdle`: a state is only led to ideals with which more must be done than that. Rows of `bars`: the
    least, over an ideal and all above, of what a walk compares.
    """

    value: Any
    hurdle: Any
    need: Any
    best: Any
    new_hurdle: Any
    bars: Any


class CoreScratch(NamedTuple):
    """Memory of a walk.

    Which nodes are in the start; per net the start that it was last looked at for, its nodes outside of that, and those
    of them in the stage; users of each shared parameter in the stage; and a row for each node added: the ideal, its
    next edge, the node, in, ended, and what the stage holds of shared parameters.
    """

    member: Any
    asked: Any
    waiting: Any
    inside: Any
    holders: Any
    path: Any


class Priced(NamedTuple):
    """What a walk goes over: ideals, nets, shared parameters and tolls, as one kind of device prices them."""

    ideals: CoreIdeals
    nets: Nets
    held: Held
    tolls: Tolls


def part_of(amount: int, num: int, den: int) -> int:
    """Return ``amount * num / den``, rounded down, without numbers beyond 64 bits."""
    part, rest = 0, 0
    for chunk in range(CHUNKS - 1, -1, -1):
        rest = (rest << CHUNK) + num * ((amount >> (CHUNK * chunk)) & ((1 << CHUNK) - 1))
        part = (part << CHUNK) + rest // den
        rest = rest % den
    return part


def at_most(rules: StageRules, work: int) -> int:
    """Return the most that fluid of so much work weighs, rounded down, without numbers beyond 64 bits."""
    if rules.whole == FAR or (work > 0 and rules.whole >= FAR // (2 * work)):
        return FAR
    return work * rules.whole + (part_of(work, rules.num, rules.den) if rules.num else 0)


def least_tolls(tolls: Tolls, missing: int) -> int:
    """Return the least that units save of which so much is missing, rounded down; -1 if all of them free less."""
    low, high = 0, len(tolls.freed)
    while low < high:
        middle = (low + high) // 2
        if tolls.freed[middle] < missing:
            low = middle + 1
        else:
            high = middle
    if low == len(tolls.freed):
        return -1
    freed, saved = 0, 0
    if low > 0:
        freed, saved = tolls.freed[low - 1], tolls.saved[low - 1]
    return int(saved + part_of(missing - freed, tolls.saved[low] - saved, tolls.freed[low] - freed))


def run(tolls: Tolls, room: int, owned: int, beside: int) -> int:
    """Return the most fluid that a stage runs with so much room for it and tolls; negative if that is too little."""
    if tolls.by_unit:
        missing = least_tolls(tolls, owned - room) if owned > room else 0
        return -1 if room < 0 or missing < 0 else room + beside - 2 * missing
    if room < owned:
        return room - tolls.rate * -((room - owned) // (tolls.weight - tolls.rate))
    more = room - owned - beside
    if more <= 0:
        return room
    units = more // (tolls.weight + tolls.rate)
    rest = more - units * (tolls.weight + tolls.rate)
    return owned + beside + units * tolls.weight + max(0, rest - tolls.rate)


def with_tolls(tolls: Tolls, start: int, end: int, room: int) -> int:
    """Return the most fluid of a stage between two ideals with so much room for it and for tolls; negative as above."""
    owned, beside = tolls.owned[end] - tolls.owned[start], tolls.most[end] - tolls.least[start]
    if tolls.by_unit:
        room -= beside
    # What takes the common tensor in; where it is made, what does so in later stages.
    readers, fed = 0, 0
    if tolls.made[start]:
        readers, fed = tolls.readers[end] - tolls.readers[start], tolls.fed[end] - tolls.fed[start]
    elif tolls.made[end]:
        readers = tolls.readers[-1] - tolls.readers[end]
        fed = 0 if tolls.by_unit else tolls.fed[-1] - tolls.fed[end]
    most = run(tolls, room, owned, beside)
    if readers == 0 and fed == 0:
        return most
    paying = run(tolls, room - tolls.common, owned, beside)
    if readers > 0:
        return paying
    without = room + beside - fed if tolls.by_unit else room - tolls.rate * -(-fed // tolls.weight)
    return max(paying, min(most, without))


def fits(priced: Priced, rules: StageRules, start: int, end: int, cuts: int, streamed: int, weighed: int) -> int:
    """Return the most fluid of a stage between two ideals that pays `cuts` for nets; -1 if it costs too much.

    `streamed` and `weighed`: what it holds of shared parameters, and what of that counts.
    """
    ideals = priced.ideals
    paid = cuts + ideals.cut[end] - ideals.cut[start]
    over = max(0, ideals.held[end] - ideals.held[start] + streamed - rules.capacity)
    left = rules.threshold - paid - over - (ideals.work[end] - ideals.work[start])
    counted = min(rules.allowance, ideals.available[end] - ideals.spent[start] + weighed)
    room = rules.threshold + counted - paid - weighed - (ideals.weight[end] - ideals.weight[start])
    if rules.apart:
        room -= over
    if priced.tolls.rate > 0:
        room = with_tolls(priced.tolls, start, end, room)
    if left < 0 or room < 0:
        return -1
    room = min(room, at_most(rules, left))
    return int(room - room % rules.grain)


def hopeless(
    bars: Any, ideal: int, cuts: int, held: tuple[int, int], rooms: tuple[int, int, int, int], hurdle: int
) -> bool:
    """Whether a stage that has come to an ideal, and pays `cuts`, can end nowhere above it where that is of use."""
    streamed, weighed = held
    return bool(
        bars[0][ideal] + cuts + weighed > rooms[0]
        or bars[1][ideal] + cuts > rooms[1]
        or bars[2][ideal] + cuts > rooms[2]
        or bars[3][ideal] + cuts + streamed > rooms[3]
        or -bars[4][ideal] <= hurdle
    )


def lead_on(queue: Numbers, priced: Priced, rules: StageRules, states: States, scratch: CoreScratch) -> int:
    """Raise `best` by one more stage from each ideal of the queue; return how many nodes were added in all."""
    ideals, nets, shared, _ = priced
    member, asked, waiting, inside, holders, path = scratch
    need, best, bars = states.need, states.best, states.bars
    steps = 0
    for start in queue:
        value, hurdle = states.value[start], states.hurdle[start]
        carried = min(ideals.most[start], value + fits(priced, rules, start, start, 0, 0, 0))
        if carried >= need[start] and carried > best[start]:
            best[start] = carried
            states.new_hurdle[start] = value if rules.exchangeable else -1
        core_room = rules.threshold + ideals.work[start] + ideals.cut[start]
        room = value + rules.threshold + ideals.weight[start] + ideals.cut[start]
        rooms = (
            room + rules.allowance,
            room - ideals.spent[start],
            core_room,
            core_room + ideals.held[start] + rules.capacity,
        )
        if hopeless(bars, start, 0, (0, 0), rooms, hurdle):
            continue
        i = start
        while i:
            member[ideals.last[i]] = 1
            i = ideals.found_from[i]
        depth = 0
        path[0][0], path[0][1], path[0][2] = start, ideals.ptr[start], -1
        path[0][3], path[0][4], path[0][5] = 0, 0, 0
        weighed = 0
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
                enter, ended, streamed = path[depth][3], path[depth][4], path[depth][5]
                if hopeless(bars, to, enter + ended, (streamed, weighed), rooms, hurdle):
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
                for i in range(shared.ptr[v], shared.ptr[v + 1]):
                    holders[shared.uses[i]] += 1
                    if holders[shared.uses[i]] == 1:
                        streamed += shared.cost[shared.uses[i]]
                        weighed += shared.weight[shared.uses[i]]
                cuts = enter + ended
                if need[to] < FAR:
                    done = fits(priced, rules, start, to, cuts, streamed, weighed)
                    done = min(ideals.most[to], value + done) if done >= 0 else -1
                    if done >= need[to] and done > best[to]:
                        best[to], states.new_hurdle[to] = done, -1
                if hopeless(bars, to, cuts, (streamed, weighed), rooms, hurdle):
                    leaving = v
                else:
                    depth += 1
                    row = path[depth]
                    row[0], row[1], row[2] = to, ideals.ptr[to], v
                    row[3], row[4], row[5] = enter, ended, streamed
            if leaving >= 0:
                for i in range(nets.node_ptr[leaving], nets.node_ptr[leaving + 1]):
                    if inside[nets.nets[i]] > 0:
                        inside[nets.nets[i]] -= 1
                for i in range(shared.ptr[leaving], shared.ptr[leaving + 1]):
                    holders[shared.uses[i]] -= 1
                    if holders[shared.uses[i]] == 0:
                        weighed -= shared.weight[shared.uses[i]]
        i = start
        while i:
            member[ideals.last[i]] = 0
            i = ideals.found_from[i]
    return steps


@cache
def compiled() -> Callable[..., int] | None:
    """Return `lead_on` compiled by numba, with what it calls; None where numba is missing."""
    return compile_last(part_of, at_most, least_tolls, run, with_tolls, fits, hopeless, lead_on)

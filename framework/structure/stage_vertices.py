"""One vertex of the tree that bounds what a stage is worth: bound it, choose how to branch, walk to the next one.

A vertex is given by roles of nodes (in, out, free) and by *open* nets. It stands for the convex sets that keep the
roles and cover no open net, that is, hold not all of its pins; such a net costs as soon as one pin is in. Branching is
on a node, in or out, or on a net: all its pins in, or open. Nets matter because f is submodular: without them the
cheapest way to be worth much, on average, is to take almost everything and cut nothing, and bounds are poor.

Source: this project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from framework.model.topology import IntArray
from framework.structure.stage_networks import (
    FREE,
    IN,
    OUT,
    Network,
    RoleArray,
    Shape,
    build_network,
    close_roles,
    read_set,
    solve_network,
)

FloatArray = NDArray[np.float64]

MAGNITUDE = 1 << 56
"""What scaled prices, and scaled costs, add up to at most."""
_CUTS_A_VERTEX = 8

PRUNED, FOUND, OPEN = 0, 1, 2


class Search(NamedTuple):
    """State of a search over all anchors.

    Along the path to the vertex: `variable` branched on, `side` taken (0 in, 1 out or open), `start` (multiplier,
    share, weight of `high` in the mixture), and on `trail`, up to `trail_end`, the nodes put in. `numbers` holds:
    position in the order, depth (-1 before the anchor is opened), vertices, columns found, length of the log (-1 when
    it is full), anchors that failed, vertices and log at the start of this anchor, cuts, mixtures found.
    """

    roles: RoleArray
    open_nets: RoleArray
    trail: IntArray
    trail_end: IntArray
    variable: IntArray
    side: RoleArray
    start: FloatArray
    low: RoleArray
    high: RoleArray
    members: RoleArray
    columns: RoleArray
    mixtures: FloatArray
    roots: FloatArray
    mixed: IntArray
    log: IntArray
    numbers: IntArray


@njit(cache=True)
def bound_vertex(
    shape: Shape,
    network: Network,
    search: Search,
    prices: IntArray,
    threshold: int,
    theta: int,
    wanted: int,
    shares: int,
    num_limit: int,
    den_limit: int,
    start: FloatArray,
    result: IntArray,
) -> int:
    """Bound the worth of the sets that keep the roles, by a few cuts.

    `start` is (multiplier, share, weight of `high` in the mixture) and is updated for the children. `result` becomes
    (num, den, share) of the best bound, what to branch on, and the bound.
    """
    if not close_roles(shape, search.roles, network):
        result[0], result[1], result[2] = 1, 0, 0
        return PRUNED
    result[4] = MAGNITUDE
    share = int(start[1])
    build_network(shape, share, search.open_nets, network)
    multiplier = start[0]
    low_known = high_known = switched = False
    low_cost = low_worth = high_cost = high_worth = 0
    members = search.members
    for _ in range(_CUTS_A_VERTEX):
        num, den = _fraction(multiplier, num_limit, den_limit)
        limit = threshold + share * shape.capacity
        enough = den * (theta + 1) - num * limit
        value = solve_network(network, prices, num, den, enough)
        search.numbers[8] += 1
        if value < enough:
            result[0], result[1], result[2] = num, den, share
            if den and num:
                start[0] = multiplier
            return PRUNED
        if den and (value + num * limit) // den < result[4]:
            result[4] = (value + num * limit) // den
            result[0], result[1], result[2] = num, den, share
        read_set(network, members)
        worth, cost, true_cost = _price_set(shape, members, search.open_nets, prices, share)
        if true_cost <= threshold and worth > wanted and _gap(shape, members) < 0:
            search.low[:] = members
            return FOUND
        if cost <= limit and true_cost > threshold:
            # The other share is the one that this set violates.
            search.high[:] = members
            high_known = True
            if switched:
                break
            switched = True
            share = 1 - share
            start[1] = share
            build_network(shape, share, search.open_nets, network)
            low_known = high_known = False
            continue
        if cost <= limit:
            if worth > wanted:
                search.high[:] = members
                start[2] = 1.0
                result[3] = _gap(shape, members)
                return OPEN
            low_known = True
            low_cost, low_worth = cost, worth
            search.low[:] = members
            if num == 0:
                break
        else:
            high_known = True
            high_cost, high_worth = cost, worth
            search.high[:] = members
        if low_known and high_known:
            slope = (high_worth - low_worth) / (high_cost - low_cost)
            if slope <= 0.0 or abs(slope - multiplier) <= 1e-9 * multiplier:
                break
            multiplier = slope
            start[0] = slope
        elif high_known:
            multiplier = np.inf
        else:
            multiplier = multiplier / 8 if multiplier > 1e-3 * start[0] else 0.0
    start[2] = 0.0
    if low_known and not high_known:
        search.high[:] = search.low
        start[2] = 1.0
    elif low_known and high_known:
        start[2] = (threshold + share * shape.capacity - low_cost) / (high_cost - low_cost)
    result[3] = _branch_on(shape, network, search, prices, high_known and start[2] < 1.0, low_known)
    return OPEN


@njit(cache=True)
def _branch_on(
    shape: Shape, network: Network, search: Search, prices: IntArray, high_known: bool, low_known: bool
) -> int:
    """Choose a net, as its number plus n, or else a node, that the two sides of the multiplier disagree on."""
    n = len(prices)
    status, high, low = network.status, search.high, search.low
    best = -1.0
    chosen = -1
    if high_known:
        for t in range(len(shape.net_cost)):
            if search.open_nets[t]:
                continue
            loose = 0.0
            covered = True
            kept = low_known
            for i in range(shape.net_ptr[t], shape.net_ptr[t + 1]):
                x = shape.net_pins[i]
                if not high[x]:
                    covered = False
                    break
                kept = kept and low[x] == 1
                if status[x] == FREE:
                    loose += shape.work[x] + 1.0
            if covered and not kept and loose > best and loose > 0.0:
                best, chosen = loose, n + t
        if chosen >= 0:
            return chosen
    for v in range(n):
        if status[v] == FREE:
            score = abs(float(prices[v])) + 1e-9
            if high_known and high[v] and not (low_known and low[v]):
                score += 1e30
            if score > best:
                best, chosen = score, v
    return chosen


@njit(cache=True)
def branch(shape: Shape, search: Search, depth: int, v: int) -> None:
    """Go to the first child of a branch on node v, or on net v - n."""
    n = len(search.roles)
    search.variable[depth] = v
    search.side[depth] = 0
    end = search.trail_end[depth]
    if v < n:
        search.roles[v] = IN
        search.trail[end] = v
        end += 1
    else:
        for i in range(shape.net_ptr[v - n], shape.net_ptr[v - n + 1]):
            x = shape.net_pins[i]
            if search.roles[x] == FREE:
                search.roles[x] = IN
                search.trail[end] = x
                end += 1
    search.trail_end[depth + 1] = end
    search.start[depth + 1] = search.start[depth]
    search.numbers[1] = depth + 1


@njit(cache=True)
def next_vertex(search: Search, depth: int) -> int:
    """Go from a settled vertex to the next one in preorder; return its depth, 0 if the tree is complete."""
    n, roles = len(search.roles), search.roles
    while depth and search.side[depth - 1] == 1:
        depth -= 1
        if search.variable[depth] < n:
            roles[search.variable[depth]] = FREE
        else:
            search.open_nets[search.variable[depth] - n] = 0
    if depth:
        search.side[depth - 1] = 1
        for i in range(search.trail_end[depth - 1], search.trail_end[depth]):
            roles[search.trail[i]] = FREE
        search.trail_end[depth] = search.trail_end[depth - 1]
        if search.variable[depth - 1] < n:
            roles[search.variable[depth - 1]] = OUT
        else:
            search.open_nets[search.variable[depth - 1] - n] = 1
    return depth


@njit(cache=True)
def open_anchor(
    search: Search, order: IntArray, at: int, apart: NDArray[np.bool_], uncovered: NDArray[np.bool_]
) -> None:
    """Set the roles of the root of one anchor's tree."""
    anchor, roles = order[at], search.roles
    roles[:] = FREE
    for i in range(at):
        roles[order[i]] = OUT
    for v in range(len(apart)):
        if apart[anchor, v]:
            roles[v] = OUT
    roles[anchor] = IN
    search.open_nets[:] = 0
    if len(uncovered):
        for t in range(len(search.open_nets)):
            search.open_nets[t] = 1 if uncovered[anchor, t] else 0


@njit(cache=True)
def mix_sets(search: Search, start: FloatArray, mixture: FloatArray) -> None:
    """Write the mixture of two sets that attains the bound of a vertex; zeros if none is known."""
    weight = start[2]
    mixture[:] = 0.0
    if weight <= 0.0:
        return
    for v in range(len(mixture)):
        mixture[v] = weight * search.high[v]
        if weight < 1.0:
            mixture[v] += (1.0 - weight) * search.low[v]


@njit(cache=True)
def _fraction(multiplier: float, num_limit: int, den_limit: int) -> tuple[int, int]:
    """Return num / den near a multiplier, as large as the limits allow; (0, 1) for 0 and (1, 0) for infinity."""
    if multiplier == np.inf:
        return 1, 0
    if multiplier <= 0.0:
        return 0, 1
    if multiplier * den_limit <= num_limit:
        num = int(multiplier * den_limit)
        return (num, den_limit) if num else (0, 1)
    den = int(num_limit / multiplier)
    return (num_limit, den) if den else (1, 0)


@njit(cache=True)
def _price_set(
    shape: Shape, members: RoleArray, open_nets: RoleArray, prices: IntArray, share: int
) -> tuple[int, int, int]:
    """Return prices(S); (w + share p)(S) + cut(S) + the costs of open nets that S covers; and f(S)."""
    worth = work = parameters = cut = extra = 0
    for v in range(len(members)):
        if members[v]:
            worth += prices[v]
            work += shape.work[v]
            parameters += shape.parameters[v]
    for t in range(len(shape.net_cost)):
        head = members[shape.net_pins[shape.net_ptr[t]]]
        whole = True
        for i in range(shape.net_ptr[t] + 1, shape.net_ptr[t + 1]):
            if members[shape.net_pins[i]] != head:
                cut += shape.net_cost[t]
                whole = False
                break
        if whole and head and open_nets[t]:
            extra += shape.net_cost[t]
    return worth, work + share * parameters + cut + extra, work + cut + max(0, parameters - shape.capacity)


@njit(cache=True)
def _gap(shape: Shape, members: RoleArray) -> int:
    """Return a member above a node that is missing for convexity, -1 if the set is convex."""
    words = shape.ancestors.shape[1]
    below = np.zeros(words, np.uint64)
    above = np.zeros(words, np.uint64)
    one = np.uint64(1)
    for v in range(len(members)):
        if members[v]:
            for word in range(words):
                below[word] |= shape.descendants[v, word]
                above[word] |= shape.ancestors[v, word]
    for v in range(len(members)):
        bit = np.uint64(v & 63)
        if not members[v] and below[v >> 6] >> bit & one and above[v >> 6] >> bit & one:
            for u in range(len(members)):
                if members[u] and shape.ancestors[v, u >> 6] >> np.uint64(u & 63) & one:
                    return u
    return -1

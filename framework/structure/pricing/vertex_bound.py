"""One vertex of the pricing tree: its Lagrangian bound, its branching choice, and the walk to the next vertex.

A vertex is given by roles of nodes: in, out, free. It stands for the convex sets that keep the roles and the rules
(`framework.structure.pricing.propagation.Rules`): a node that is in excludes the nodes with which it shares no stage at
T, and opens the nets that no stage of it covers, which are paid for if one pin is in. The rules matter because f is
submodular: without them the Lagrangian bound is attained by mixtures of sets with almost all nodes, which cut nothing.
Branching fixes a node, first to in: the node of largest price among those on which the minimum cuts for the two sides
of the multiplier differ. Branching on nets as well was tried; the trees are then as large or larger.

Source: this project.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.pricing.network import (
    FREE,
    IN,
    OUT,
    Network,
    RoleArray,
    Shape,
    build_network,
    read_set,
    solve_network,
)
from framework.structure.pricing.propagation import Rules, close_roles

FloatArray = NDArray[np.float64]

MAGNITUDE = 1 << 56
"""What scaled prices, and scaled costs, add up to at most."""
_CUTS_A_VERTEX = 8

PRUNED, FOUND, OPEN = 0, 1, 2
BRANCHES = -1
"""Second entry of a row of a record whose vertex branches."""


class Search(NamedTuple):
    """State of a search over all anchors.

    Along the path to the vertex: `variable` branched on, `side` taken (0 in, 1 out), `start` (multiplier, share).
    `numbers` holds: position in the order of the anchors, depth (-1 before the anchor is opened), vertices, columns
    found, length of the log (-1 when it is full), anchors that failed, vertices at the start of this anchor.
    """

    order: IntArray
    roles: RoleArray
    variable: IntArray
    side: RoleArray
    start: FloatArray
    low: RoleArray
    high: RoleArray
    members: RoleArray
    columns: RoleArray
    log: IntArray
    numbers: IntArray


def new_search(order: IntArray, *, max_columns: int, log_size: int) -> Search:
    """Return memory for a search over anchors, ``[n]`` in their order, that has not begun."""
    n = len(order)
    return Search(
        order=order,
        roles=np.zeros(n, np.int8),
        variable=np.zeros(n + 1, np.int64),
        side=np.zeros(n + 1, np.int8),
        start=np.zeros((n + 1, 2)),
        low=np.zeros(n, np.int8),
        high=np.zeros(n, np.int8),
        members=np.zeros(n, np.int8),
        columns=np.zeros((max_columns, n), np.int8),
        log=np.zeros((log_size, 3), np.int64),
        numbers=np.array([0, -1, 0, 0, 0, 0, 0], np.int64),
    )


@kernel
def bound_vertex(
    shape: Shape,
    rules: Rules,
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

    `start` is (multiplier, share) and is updated for the children. `result` becomes (num, den, share) of the best
    bound, what to branch on, and the bound.
    """
    if not close_roles(shape, rules, search.roles, network):
        result[0], result[1], result[2] = 1, 0, 0
        return PRUNED
    result[4] = MAGNITUDE
    share = int(start[1])
    build_network(shape, share, network)
    multiplier = start[0]
    low_known = high_known = switched = False
    low_cost = low_worth = high_cost = high_worth = 0
    members = search.members
    for _ in range(_CUTS_A_VERTEX):
        num, den = _fraction(multiplier, num_limit, den_limit)
        limit = threshold + share * shape.capacity
        enough = den * (theta + 1) - num * limit
        value = solve_network(network, prices, num, den, enough)
        if value < enough:
            result[0], result[1], result[2] = num, den, share
            if den and num:
                start[0] = multiplier
            return PRUNED
        if den and (value + num * limit) // den < result[4]:
            result[4] = (value + num * limit) // den
            result[0], result[1], result[2] = num, den, share
        read_set(network, members)
        worth, cost, true_cost = _price_set(shape, members, network.opened, prices, share)
        if true_cost <= threshold and worth > wanted and _gap(shape, members) < 0:
            for i in range(len(search.low)):
                search.low[i] = members[i]
            return FOUND
        if cost <= limit and true_cost > threshold:
            # The other share is the one that this set violates.
            for i in range(len(search.high)):
                search.high[i] = members[i]
            high_known = True
            if switched:
                break
            switched = True
            share = 1 - share
            start[1] = share
            build_network(shape, share, network)
            low_known = high_known = False
            continue
        if cost <= limit:
            if worth > wanted:
                result[3] = _gap(shape, members)
                return OPEN
            low_known = True
            low_cost, low_worth = cost, worth
            for i in range(len(search.low)):
                search.low[i] = members[i]
            if num == 0:
                break
        else:
            high_known = True
            high_cost, high_worth = cost, worth
            for i in range(len(search.high)):
                search.high[i] = members[i]
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
    result[3] = _branch_on(network, search, prices, high_known, low_known)
    return OPEN


@kernel
def _branch_on(network: Network, search: Search, prices: IntArray, high_known: bool, low_known: bool) -> int:
    """Choose the dearest free node that the two sides of the multiplier disagree on, or else the dearest."""
    best = best_agreed = -1
    chosen = agreed = -1
    for v in range(len(prices)):
        if network.status[v] == FREE:
            price = abs(prices[v])
            if high_known and search.high[v] and not (low_known and search.low[v]):
                if price > best:
                    best, chosen = price, v
            elif price > best_agreed:
                best_agreed, agreed = price, v
    return chosen if chosen >= 0 else agreed


@kernel
def branch(search: Search, depth: int, v: int) -> None:
    """Go to the first child of a branch on node v, where it is in."""
    search.variable[depth] = v
    search.side[depth] = 0
    search.roles[v] = IN
    search.start[depth + 1, 0], search.start[depth + 1, 1] = search.start[depth, 0], search.start[depth, 1]
    search.numbers[1] = depth + 1


@kernel
def next_vertex(search: Search, depth: int) -> int:
    """Go from a settled vertex to the next one in preorder; return its depth, 0 if the tree is complete."""
    while depth and search.side[depth - 1] == 1:
        depth -= 1
        search.roles[search.variable[depth]] = FREE
    if depth:
        search.side[depth - 1] = 1
        search.roles[search.variable[depth - 1]] = OUT
    return depth


@kernel
def open_anchor(search: Search) -> None:
    """Set the roles of the root of one anchor's tree."""
    at = search.numbers[0]
    for i in range(len(search.roles)):
        search.roles[i] = FREE
    for i in range(at):
        search.roles[search.order[i]] = OUT
    search.roles[search.order[at]] = IN


@kernel
def _fraction(multiplier: float, num_limit: int, den_limit: int) -> tuple[int, int]:
    """Return num / den near a multiplier, as large as the limits allow; (0, 1) for 0 and (1, 0) for infinity."""
    if multiplier == np.inf:
        return 1, 0
    if multiplier <= 0.0:
        return 0, 1
    # Limits beyond 2^53 are rounded where they meet the float: what comes of it is held against them as integers.
    if multiplier * den_limit <= num_limit:
        num = min(int(multiplier * den_limit), num_limit)
        return (num, den_limit) if num else (0, 1)
    den = min(int(num_limit / multiplier), den_limit)
    return (num_limit, den) if den else (1, 0)


@kernel
def _price_set(
    shape: Shape, members: RoleArray, opened: RoleArray, prices: IntArray, share: int
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
        if whole and head and opened[t]:
            extra += shape.net_cost[t]
    return worth, work + share * parameters + cut + extra, work + cut + max(0, parameters - shape.capacity)


@allocating_kernel
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


@kernel
def walk_tree(
    shape: Shape,
    rules: Rules,
    network: Network,
    search: Search,
    prices: IntArray,
    threshold: int,
    theta: int,
    shares: int,
    num_limit: int,
    den_limit: int,
    log: IntArray,
    row: int,
) -> int:
    """Walk through the tree of the open anchor as recorded from a row on: one cut a leaf, no search.

    Return the row after the tree if every leaf is bounded by theta, -1 if not, or if the record is no tree.
    """
    depth = 0
    while row < len(log):
        a, b, c = log[row, 0], log[row, 1], log[row, 2]
        row += 1
        if b == BRANCHES:
            if not 0 <= a < len(search.roles) or search.roles[a] != FREE:
                return -1
            branch(search, depth, a)
            depth += 1
            continue
        # Earlier versions rounded limits as floats, up to twice the distance of floats of that size above them.
        if not (0 <= a <= num_limit + (num_limit >> 52) and 0 <= b <= den_limit + (den_limit >> 52)):
            return -1
        if a + b == 0 or not 0 <= c < shares:
            return -1
        if close_roles(shape, rules, search.roles, network):
            build_network(shape, c, network)
            enough = b * (theta + 1) - a * (threshold + c * shape.capacity)
            if solve_network(network, prices, a, b, enough) >= enough:
                return -1
        depth = next_vertex(search, depth)
        if depth == 0:
            return row
    return -1

"""One vertex of the pricing tree: its Lagrangian bound and its branching choice.

A vertex stands for the convex sets that keep its roles (`framework.structure.pricing.tree`) and the rules
(`framework.structure.pricing.propagation.Rules`): a node that is in excludes the nodes with which it shares no stage at
T, and opens the nets that no stage of it covers, which are paid for if one pin is in. The rules matter because f is
submodular: without them the Lagrangian bound is attained by mixtures of sets with almost all nodes, which cut nothing.
Branching fixes a node, first to in: the node of largest price among those on which the minimum cuts for the two sides
of the multiplier differ. Branching on nets as well was tried; the trees are then as large or larger.

Source: this project.
"""

from __future__ import annotations

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.kernel import allocating_kernel, kernel
from framework.structure.pricing.network import (
    FREE,
    IN,
    Network,
    RoleArray,
    Shape,
    build_network,
    held_shared,
    read_set,
    solve_network,
)
from framework.structure.pricing.propagation import close_roles
from framework.structure.pricing.tree import DEPTH, NO_NODE, Claim, CutModel, Outcome, Search, Vertex

MAGNITUDE = 1 << 56
"""What scaled prices, and scaled costs, add up to at most."""
_CUTS_A_ROOT, _CUTS_A_VERTEX = 8, 3
"""Deeper vertices begin with the multiplier of the one above; branching is then worth more than a better bound."""


@kernel
def bound_vertex(model: CutModel, search: Search, claim: Claim) -> Vertex:
    """Bound the worth of the sets that keep the roles of the present vertex, by a few cuts.

    Its row of ``search.start`` is updated for the children. A bound of `MAGNITUDE` is none.
    """
    shape, network = model.shape, model.network
    prices, threshold, wanted = claim.prices, claim.threshold, claim.wanted
    best_num, best_den, best_share, bound = 0, 1, 0, MAGNITUDE
    outcome, choice = Outcome.OPEN, NO_NODE
    if not close_roles(shape, model.rules, search.roles, network):
        return Vertex(Outcome.PRUNED, 1, 0, 0, bound, choice)
    if not _is_any_free(network):
        return _settle_set(model, search, claim)
    start = search.start[search.counters[DEPTH]]
    share = int(start[1])
    build_network(shape, share, network)
    multiplier = start[0]
    low_known = high_known = switched = False
    low_cost = low_worth = high_cost = high_worth = 0
    members = search.members
    for _ in range(_CUTS_A_VERTEX if search.counters[DEPTH] else _CUTS_A_ROOT):
        num, den = _fraction(multiplier, claim.num_limit, claim.den_limit)
        limit = threshold + share * shape.capacity
        enough = den * (claim.theta + 1) - num * limit
        value = solve_network(network, prices, num, den, enough)
        if value < enough:
            outcome = Outcome.PRUNED
            best_num, best_den, best_share = num, den, share
            if den and num:
                start[0] = multiplier
            break
        if den and (value + num * limit) // den < bound:
            bound = (value + num * limit) // den
            best_num, best_den, best_share = num, den, share
        read_set(network, members)
        worth, cost, true_cost = _price_set(shape, members, network.opened, prices, share)
        if true_cost <= threshold and worth > wanted and _gap(shape, members) < 0:
            outcome = Outcome.FOUND
            _copy_set(members, search.low)
            break
        if cost <= limit and true_cost > threshold:
            # The other share is the one that this set violates.
            _copy_set(members, search.high)
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
                choice = _gap(shape, members)
                break
            low_known = True
            low_cost, low_worth = cost, worth
            _copy_set(members, search.low)
            if num == 0:
                break
        else:
            high_known = True
            high_cost, high_worth = cost, worth
            _copy_set(members, search.high)
        if low_known and high_known:
            slope = (high_worth - low_worth) / (high_cost - low_cost)
            # An infinite multiplier is no slope, and no distance from one: it found the cheapest set, and that is all.
            if slope <= 0.0 or (multiplier < np.inf and abs(slope - multiplier) <= 1e-9 * multiplier):
                break
            multiplier = slope
            start[0] = slope
        elif high_known:
            multiplier = np.inf
        elif multiplier < np.inf and multiplier > 1e-3 * start[0]:
            multiplier = multiplier / 8
        else:
            multiplier = 0.0
    if outcome == Outcome.OPEN and choice == NO_NODE:
        choice = _branch_on(network, search, prices, high_known, low_known)
    return Vertex(outcome, best_num, best_den, best_share, bound, choice)


@kernel
def _is_any_free(network: Network) -> bool:
    free = 0
    for v in range(len(network.status)):
        free += network.status[v] == FREE
    return free > 0


@kernel
def _settle_set(model: CutModel, search: Search, claim: Claim) -> Vertex:
    """Price the only set that keeps the roles of a vertex without free nodes; it is convex.

    It is worth at most theta, or costs too much with one of the shares, or else the vertex is open, with nothing to
    branch on, if the set is not wanted.
    """
    shape, network, members = model.shape, model.network, search.members
    for v in range(len(members)):
        members[v] = 1 if network.status[v] == IN else 0
    worth, cost, true_cost = _price_set(shape, members, network.opened, claim.prices, 0)
    if worth <= claim.theta:
        return Vertex(Outcome.PRUNED, 0, 1, 0, worth, NO_NODE)
    if cost > claim.threshold:
        return Vertex(Outcome.PRUNED, 1, 0, 0, worth, NO_NODE)
    if true_cost > claim.threshold:
        return Vertex(Outcome.PRUNED, 1, 0, 1, worth, NO_NODE)
    if worth > claim.wanted:
        _copy_set(members, search.low)
        return Vertex(Outcome.FOUND, 0, 1, 0, worth, NO_NODE)
    return Vertex(Outcome.OPEN, 0, 1, 0, worth, NO_NODE)


@kernel
def _copy_set(members: RoleArray, kept: RoleArray) -> None:
    for v in range(len(kept)):
        kept[v] = members[v]


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
    parameters += held_shared(shape, members)
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

"""Branch and bound on the worth of a stage: is pi(S) <= theta for every convex S with f(S) <= T?

Every non-empty S has a first member in a given order of the nodes, its *anchor*: so the question splits into one for
each node v, where v is in and the nodes before it in the order are out. Each is settled by a tree: at every vertex of it
`framework.structure.stage_networks` bounds pi(S) by minimum cuts for a few multipliers; where the bound is above theta,
one more node is put in on one side and out on the other. A leaf is a multiplier num / den with its share of
parameters, whose bound is at most theta; ``den = 0`` says that no S costs at most T at all.

The tree can be recorded (`Proof`) and checked with other code: `framework.structure.stage_proofs`. On the way sets are
met that are worth more than theta: these refute the claim, and are columns for a master problem.

Source: methods.md C6; the exclusive anchors and the tree are this project's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from framework.errors import OutOfTimeError
from framework.model.instance import Instance
from framework.model.topology import IntArray
from framework.structure.closure import Closure
from framework.structure.stage_networks import (
    FREE,
    IN,
    OUT,
    Network,
    RoleArray,
    Shape,
    build_network,
    close_roles,
    network_for,
    read_set,
    shape_of,
    solve_network,
)

FloatArray = NDArray[np.float64]

_MAGNITUDE = 1 << 56
"""What scaled prices, and scaled costs, add up to at most."""
_STEPS_A_CALL = 2_000_000
"""Arcs built or scanned in one kernel call: some hundredths of a second."""
_CUTS_A_VERTEX = 8

_PRUNED, _FOUND, _OPEN = 0, 1, 2
_DONE, _PAUSED, _FULL = 0, 1, 2


class Search(NamedTuple):
    """State of a search over all anchors; one row of the two-dimensional arrays per depth of the tree.

    `numbers` holds: position in the order, depth (-1 before the anchor is opened), vertices, columns found, length of the
    log (-1 when it is full), anchors that failed, vertices at the start of this anchor, log at its start, cuts.
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
    effort: IntArray
    numbers: IntArray


class Verdict(Enum):
    """How a search ended."""

    PROVEN = "proven"
    """No stage is worth more than theta."""
    EXCEEDED = "exceeded"
    """Some stages are; they are among the columns."""
    EXHAUSTED = "exhausted"
    """The limit on the size of the tree struck, and no column was found."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pricing:
    """The answer to one question.

    Attributes
    ----------
    verdict
        How it ended.
    columns
        ``[columns, n]`` convex sets of cost at most T worth more than theta, one row each, 1 for members.
    log
        ``[entries, 3]`` the tree in preorder if the verdict is PROVEN and the log did not overflow, else None: a row is
        ``(node, -1, 0)`` for a vertex that branches on a node, first in then out, or ``(num, den, share)``.
    vertices
        Vertices of all trees.
    """

    verdict: Verdict
    columns: RoleArray
    mixtures: FloatArray
    roots: FloatArray
    failed: IntArray
    log: IntArray | None
    vertices: int


class StagePricer:
    """Answers the question for one instance, any prices, T and theta.

    Parameters
    ----------
    reach
        Closure of the instance.

    Attributes
    ----------
    effort
        ``[n]`` vertices that each anchor took in the latest search in which it was opened.
    """

    def __init__(self, instance: Instance, reach: Closure) -> None:
        self.instance = instance
        self.shape = shape_of(instance, reach)
        self.network = network_for(self.shape)
        self.effort = np.zeros(instance.n, np.int64)
        self.largest_cost = instance.total_work + instance.total_parameter_cost + int(self.shape.net_cost.sum())
        self.shares = 2 if instance.can_overflow else 1

    def multiplier_limits(self, prices: IntArray) -> tuple[int, int]:
        """Return the largest numerator and denominator that keep all sums in 64 bits.

        Raises
        ------
        OverflowError
            If the prices alone are too large.
        """
        worth = sum(abs(price) for price in prices.tolist())
        if worth > _MAGNITUDE >> 8:
            raise OverflowError(f"the prices add up to {worth}")
        return max(1, _MAGNITUDE // max(1, self.largest_cost)), max(1, _MAGNITUDE // max(1, worth))

    def decide(
        self,
        prices: IntArray,
        threshold: int,
        theta: int,
        order: IntArray,
        *,
        apart: NDArray[np.bool_] | None = None,
        uncovered: NDArray[np.bool_] | None = None,
        max_vertices: int = 1 << 40,
        patience: IntArray | None = None,
        max_columns: int = 64,
        log_size: int = 1 << 16,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Pricing:
        """Ask whether any convex S with f(S) <= threshold has prices(S) > theta.

        Parameters
        ----------
        prices
            ``[n]`` integers of either sign, in absolute value at most 2^48 together.
        threshold
            Ticks.
        theta
            At least 0.
        order
            ``[n]`` permutation of the nodes: each S belongs to its first member.
        apart
            ``[n, n]`` pairs that are known never to share a stage at this threshold.

        Raises
        ------
        OutOfTimeError
            If `should_stop` strikes.
        """
        n, nets = self.instance.n, len(self.shape.net_cost)
        if theta < 0:
            raise ValueError("theta must be at least 0: the empty stage is worth nothing")
        limits = self.multiplier_limits(prices)
        search = Search(
            roles=np.zeros(n, np.int8),
            open_nets=np.zeros(nets, np.int8),
            trail=np.zeros(n + 1, np.int64),
            trail_end=np.zeros(n + nets + 2, np.int64),
            variable=np.zeros(n + nets + 1, np.int64),
            side=np.zeros(n + nets + 1, np.int8),
            start=np.zeros((n + nets + 2, 3)),
            low=np.zeros(n, np.int8),
            high=np.zeros(n, np.int8),
            members=np.zeros(n, np.int8),
            columns=np.zeros((max_columns, n), np.int8),
            mixtures=np.zeros((n, n)),
            roots=np.zeros((n, n)),
            mixed=np.zeros(n, np.int64),
            log=np.zeros((log_size, 3), np.int64),
            effort=self.effort,
            numbers=np.array([0, -1, 0, 0, 0, 0, 0, 0, 0, 0], np.int64),
        )
        pairs = np.zeros((0, 0), np.bool_) if apart is None else apart
        covers = np.zeros((0, 0), np.bool_) if uncovered is None else uncovered
        worth = max(1, int(np.maximum(prices, 0).sum()))
        guess = worth / max(1.0, float(self.largest_cost))
        while True:
            status = _search(
                self.shape,
                self.network,
                search,
                np.ascontiguousarray(prices),
                threshold,
                theta,
                np.ascontiguousarray(order),
                pairs,
                covers,
                self.shares,
                *limits,
                guess,
                max_vertices,
                np.full(n, 1 << 40, np.int64) if patience is None else patience,
                _STEPS_A_CALL,
            )
            if status != _PAUSED:
                break
            if should_stop():
                raise OutOfTimeError("stopped while pricing stages")
        _, _, vertices, found, logged, failed, *_ = search.numbers.tolist()
        proven = status == _DONE and not failed
        verdict = Verdict.PROVEN if proven else Verdict.EXCEEDED if found else Verdict.EXHAUSTED
        return Pricing(
            verdict=verdict,
            columns=search.columns[:found].copy(),
            mixtures=search.mixtures[: int(search.numbers[9])].copy(),
            roots=search.roots[: int(search.numbers[9])].copy(),
            failed=search.mixed[: int(search.numbers[9])].copy(),
            log=search.log[:logged].copy() if proven and logged >= 0 else None,
            vertices=vertices,
        )


@njit(cache=True)
def _search(
    shape: Shape,
    network: Network,
    search: Search,
    prices: IntArray,
    threshold: int,
    theta: int,
    order: IntArray,
    apart: NDArray[np.bool_],
    uncovered: NDArray[np.bool_],
    shares: int,
    num_limit: int,
    den_limit: int,
    guess: float,
    max_vertices: int,
    patience: IntArray,
    steps: int,
) -> int:
    """Go on with the trees of all anchors, depth first, in before out."""
    numbers, roles, start = search.numbers, search.roles, search.start
    n = len(order)
    built = 0
    first_step = network.state[3]
    result = np.zeros(5, np.int64)
    while numbers[0] < n:
        anchor = order[numbers[0]]
        if numbers[1] < 0:
            roles[:] = FREE
            for i in range(numbers[0]):
                roles[order[i]] = OUT
            if len(apart):
                for v in range(n):
                    if apart[anchor, v]:
                        roles[v] = OUT
            roles[anchor] = IN
            search.open_nets[:] = 0
            if len(uncovered):
                for t in range(len(search.open_nets)):
                    search.open_nets[t] = 1 if uncovered[anchor, t] else 0
            start[0] = 0.0
            start[0, 0] = guess
            numbers[1] = 0
            numbers[6], numbers[7] = numbers[2], numbers[4]
        depth = numbers[1]
        numbers[2] += 1
        outcome = _relax(
            shape, network, search, prices, threshold, theta, theta, shares, num_limit, den_limit, start[depth], result
        )
        built += len(roles) + 4 * network.sizes[2]
        if depth == 0 and outcome == _OPEN:
            _mix(search, start[0], search.roots[numbers[9]])
        if outcome == _FOUND:
            search.columns[numbers[3]] = search.low
            numbers[3] += 1
            numbers[5] += 1
        elif outcome == _OPEN and (numbers[2] >= max_vertices or numbers[2] - numbers[6] >= patience[anchor]):
            numbers[5] += 1
            search.mixed[numbers[9]] = anchor
            _mix(search, start[depth], search.mixtures[numbers[9]])
            numbers[9] += 1
        elif outcome == _OPEN:
            v = result[3]
            _log(search, v, -1, 0)
            _open_children(shape, search, depth, v)
            continue
        else:
            guess = start[depth, 0] if start[depth, 0] > 0.0 and start[depth, 0] < np.inf else guess
            _log(search, result[0], result[1], result[2])
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
            numbers[1] = depth
        if numbers[1] == 0 or outcome != _PRUNED:
            search.effort[anchor] = numbers[2] - numbers[6]
            numbers[0] += 1
            numbers[1] = -1
            if outcome != _PRUNED and numbers[4] >= 0:
                numbers[4] = numbers[7]
            if numbers[3] == len(search.columns) or numbers[2] >= max_vertices:
                return _FULL
        if built + network.state[3] - first_step > steps:
            return _PAUSED
    return _DONE


@njit(cache=True)
def _mix(search: Search, start: FloatArray, mixture: FloatArray) -> None:
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
def _log(search: Search, a: int, b: int, c: int) -> None:
    at = search.numbers[4]
    if at < 0:
        return
    if at == len(search.log):
        search.numbers[4] = -1
        return
    search.log[at, 0], search.log[at, 1], search.log[at, 2] = a, b, c
    search.numbers[4] = at + 1


@njit(cache=True)
def _relax(
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

    `start` is (multiplier, share, whether a set within T is known, ...) and is updated for the children. `result` becomes
    (num, den, share) of the best bound and the node to branch on.
    """
    if not close_roles(shape, search.roles, network):
        result[0], result[1], result[2] = 1, 0, 0
        return _PRUNED
    result[4] = _MAGNITUDE
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
            return _PRUNED
        if den and (value + num * limit) // den < result[4]:
            result[4] = (value + num * limit) // den
            result[0], result[1], result[2] = num, den, share
        read_set(network, members)
        worth, cost, true_cost = _price_set(shape, members, search.open_nets, prices, share)
        if true_cost <= threshold and worth > wanted and _gap(shape, members) < 0:
            search.low[:] = members
            return _FOUND
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
                return _OPEN
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
    return _OPEN


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
def _open_children(shape: Shape, search: Search, depth: int, v: int) -> None:
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


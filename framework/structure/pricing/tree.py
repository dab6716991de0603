"""Trees of a pricing search: what they are searched with, the step from vertex to vertex, and the check of a record.

A vertex is given by roles of nodes: in, out, free. The root of an anchor's tree has the anchor in and the anchors
before it out; the children of a vertex have one more node in, or out. A tree is recorded in preorder: a row is
``(node, BRANCHES, 0)`` for a vertex that branches on a node, or ``(num, den, share)`` for a leaf, whose bound is one
minimum cut. Searches and `verify_trees` go from vertex to vertex by the same `step`.

Source: this project.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray
from framework.structure.kernel import kernel
from framework.structure.pricing.network import (
    FREE,
    IN,
    OUT,
    Network,
    RoleArray,
    Shape,
    build_network,
    solve_network,
)
from framework.structure.pricing.propagation import Rules, close_roles

FloatArray = NDArray[np.float64]

BRANCHES = -1
"""Second entry of a row of a record whose vertex branches."""
NO_NODE = -1
"""What a settled vertex branches on."""
ANCHOR, DEPTH, VERTICES, COLUMNS, ROWS, FAILURES, VERTICES_BEFORE = range(7)
"""Counters of a search: the place in the order of the anchors, the depth of the vertex (`UNOPENED` before the anchor is
opened), vertices, columns found, rows of the record (`OVERFLOWED` when it is full), anchors that failed, and the
vertices before this anchor."""
COUNTERS = 7
UNOPENED = OVERFLOWED = -1


class CutModel(NamedTuple):
    """What cuts are made of: an instance, what cannot happen at the threshold, and memory for one network."""

    shape: Shape
    rules: Rules
    network: Network


class Claim(NamedTuple):
    """What is to be shown: prices(S) <= theta for every convex S with f(S) <= threshold.

    Attributes
    ----------
    prices
        ``[n]`` integers of either sign.
    threshold
        Ticks.
    theta
        A vertex is settled once its bound is at most this; -1 to look for the best bound there is.
    wanted
        A set worth more than this ends the search of a vertex.
    shares
        Shares of the parameters that are tried: 0 alone, or 0 and 1.
    num_limit, den_limit
        The largest numerator and denominator of a multiplier; with them no sum leaves 64 bits.
    """

    prices: IntArray
    threshold: int
    theta: int
    wanted: int
    shares: int
    num_limit: int
    den_limit: int


class Search(NamedTuple):
    """State of a search over anchors.

    Attributes
    ----------
    order
        The anchors, in turn.
    roles
        ``[n]`` roles of the nodes at the present vertex.
    variable, side, start
        Along the path to the vertex: the node branched on, the side taken (0 in, 1 out), ``[n + 1]`` each; the
        multiplier and the share to start with, ``[n + 1, 2]``.
    low, high
        ``[n]`` the latest sets on both sides of the multiplier; after `Outcome.FOUND`, `low` is the set that was found.
    members
        ``[n]`` memory.
    columns
        ``[columns, n]`` sets found.
    log
        ``[rows, 3]`` the record.
    counters
        As named in this module.
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
    counters: IntArray


class Outcome(IntEnum):
    """What became of a vertex."""

    PRUNED = 0
    """Its bound is at most theta."""
    FOUND = 1
    """A set worth more than wanted was found."""
    OPEN = 2
    """It has to branch."""


class Vertex(NamedTuple):
    """What was found of a vertex.

    Attributes
    ----------
    outcome
        What became of it.
    num, den, share
        Multiplier and share of the best bound.
    bound
        That bound, if the vertex is not pruned.
    choice
        The node to branch on, if it is open.
    """

    outcome: Outcome
    num: int
    den: int
    share: int
    bound: int
    choice: int


def new_search(order: IntArray, *, max_columns: int, log_size: int) -> Search:
    """Return memory for a search over all nodes as anchors, ``[n]`` in their order, that has not begun."""
    n = len(order)
    counters = np.zeros(COUNTERS, np.int64)
    counters[DEPTH] = UNOPENED
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
        counters=counters,
    )


@kernel
def open_anchor(search: Search) -> None:
    """Go to the root of the tree of the present anchor."""
    at = search.counters[ANCHOR]
    open_alone(search, search.order[at])
    for i in range(at):
        search.roles[search.order[i]] = OUT


@kernel
def open_alone(search: Search, anchor: int) -> None:
    """Go to the root of the tree of an anchor, with no other node out."""
    for v in range(len(search.roles)):
        search.roles[v] = FREE
    search.roles[anchor] = IN
    search.counters[DEPTH] = 0


@kernel
def step(search: Search, choice: int) -> bool:
    """Go to the next vertex in preorder; return whether there is one.

    From a vertex that branches on a node it is the first child, where that is in; from a settled one (`NO_NODE`) the
    second child of the last vertex above whose first child's tree is complete.
    """
    variable, side, roles, start = search.variable, search.side, search.roles, search.start
    depth = search.counters[DEPTH]
    if choice != NO_NODE:
        variable[depth] = choice
        side[depth] = 0
        roles[choice] = IN
        start[depth + 1, 0], start[depth + 1, 1] = start[depth, 0], start[depth, 1]
        search.counters[DEPTH] = depth + 1
        return True
    while depth and side[depth - 1] == 1:
        depth -= 1
        roles[variable[depth]] = FREE
    search.counters[DEPTH] = depth
    if depth == 0:
        return False
    side[depth - 1] = 1
    roles[variable[depth - 1]] = OUT
    return True


@kernel
def settle(search: Search, vertex: Vertex) -> bool:
    """Record an open or a pruned vertex and go to the next one; return whether there is one."""
    row = search.counters[ROWS]
    is_open = vertex.outcome == Outcome.OPEN
    if row == len(search.log):
        search.counters[ROWS] = OVERFLOWED
    elif row != OVERFLOWED:
        search.counters[ROWS] = row + 1
        if is_open:
            search.log[row, 0], search.log[row, 1], search.log[row, 2] = vertex.choice, BRANCHES, 0
        else:
            search.log[row, 0], search.log[row, 1], search.log[row, 2] = vertex.num, vertex.den, vertex.share
    return step(search, vertex.choice if is_open else NO_NODE)


@kernel
def verify_trees(model: CutModel, search: Search, claim: Claim, log: IntArray) -> bool:
    """Walk through the recorded trees of all anchors: one cut a leaf, no search.

    Return whether every leaf is bounded by theta and nothing is left over.
    """
    row = 0
    for at in range(len(search.order)):
        search.counters[ANCHOR] = at
        open_anchor(search)
        row = _walk_tree(model, search, claim, log, row)
        if row < 0:
            return False
    return row == len(log)


@kernel
def _walk_tree(model: CutModel, search: Search, claim: Claim, log: IntArray, row: int) -> int:
    """Walk through the tree of the open anchor as recorded from a row on.

    Return the row after the tree if every leaf is bounded by theta, -1 if not, or if the record is no tree.
    """
    while row < len(log):
        a, b, c = log[row, 0], log[row, 1], log[row, 2]
        row += 1
        if b == BRANCHES:
            if not 0 <= a < len(search.roles) or search.roles[a] != FREE:
                return -1
            step(search, a)
            continue
        if not _is_bounded(model, search, claim, a, b, c):
            return -1
        if not step(search, NO_NODE):
            return row
    return -1


@kernel
def _is_bounded(model: CutModel, search: Search, claim: Claim, num: int, den: int, share: int) -> bool:
    """Whether a multiplier and a share within the limits bound the present vertex by theta."""
    num_limit, den_limit = claim.num_limit, claim.den_limit
    # Earlier versions rounded limits as floats, up to twice the distance of floats of that size above them.
    if not (0 <= num <= num_limit + (num_limit >> 52) and 0 <= den <= den_limit + (den_limit >> 52)):
        return False
    if num + den == 0 or not 0 <= share < claim.shares:
        return False
    if not close_roles(model.shape, model.rules, search.roles, model.network):
        return True
    build_network(model.shape, share, model.network)
    enough = den * (claim.theta + 1) - num * (claim.threshold + share * model.shape.capacity)
    return solve_network(model.network, claim.prices, num, den, enough) < enough

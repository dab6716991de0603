"""Exact cover by stages in an acyclic order: depth-first search for k of the given sets that partition the nodes.

Some uncovered node with the fewest candidates is covered by each of its candidates in turn; candidates that overlap
with what is chosen, or that have to come both before and after some chosen set, are left out on the way down. With
prices of which no set holds more than `theta`, r sets left to choose, and nodes of total price R left to cover, each of
these r sets is worth at least R - (r - 1) theta: others are left out, too. What is left out is in no partition, so the
search is exhaustive. Cycles of three or more sets are found when a cover is complete.

Source: the search is that of exact cover in general (Knuth, 2000), with bounds as in set partitioning.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray, row_pointers
from framework.model.problem import Partition
from framework.structure.bit_sets import BitArray
from framework.structure.kernel import kernel
from framework.structure.poset.closure import BoolArray, Closure, pack_sets
from framework.structure.pricing.network import RoleArray

DEPTH, STEPS = range(2)
"""Counters of a search: sets chosen, and candidates and members looked at in this call."""


class _Status(IntEnum):
    """How a call of `_search` ended."""

    NONE = 0
    """No cover is left."""
    PAUSED = 1
    COVER = 2
    """The chosen sets cover all nodes."""


class _Sets(NamedTuple):
    """The sets: their members as bits and as lists, what lies below them, and what each is worth.

    ``[sets, words]`` twice; ``[sets + 1]``, ``[members]``; ``[sets]``.
    """

    members: BitArray
    below: BitArray
    ptr: IntArray
    nodes: IntArray
    worth: IntArray


class _State(NamedTuple):
    """Where a search is.

    `candidates` holds at each depth the sets that may still be chosen, ``[k + 1, sets]``, of which there are `counts`;
    `node` is the node to be covered there, -1 before one is chosen, `at` the next candidate to try; `chosen` the sets
    above. `left` is the price that is left to cover. `holders` is memory, ``[n]``.
    """

    candidates: NDArray[np.int32]
    counts: IntArray
    node: IntArray
    at: IntArray
    chosen: IntArray
    left: IntArray
    holders: IntArray
    counters: IntArray


def cover_exactly(
    stages: RoleArray,
    prices: IntArray,
    theta: int,
    *,
    count: int,
    reach: Closure,
    steps_a_call: int = 20_000_000,
    should_stop: Callable[[], bool] = lambda: False,
) -> Partition | None:
    """Return a partition into at most `count` of the given stages, in an order that keeps precedence; None if none is.

    Parameters
    ----------
    stages
        ``[stages, n]`` convex sets, 1 for members.
    prices
        ``[n]`` at least 0.
    theta
        No stage is worth more.
    steps_a_call
        Candidates, and members of candidates, looked at in one kernel call: some hundredths of a second.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """
    n = len(prices)
    set_of, nodes = np.nonzero(stages)
    below = np.zeros((len(stages), reach.descendants.shape[1]), np.uint64)
    np.bitwise_or.at(below, set_of, reach.descendants[nodes])
    sets = _Sets(
        members=pack_sets(stages.astype(np.bool_)),
        below=below,
        ptr=row_pointers(set_of, len(stages)),
        nodes=np.ascontiguousarray(nodes.astype(np.int64)),
        worth=stages.astype(np.int64) @ prices,
    )
    state = _State(
        candidates=np.zeros((count + 1, len(stages)), np.int32),
        counts=np.zeros(count + 1, np.int64),
        node=np.full(count + 1, -1, np.int64),
        at=np.zeros(count + 1, np.int64),
        chosen=np.zeros(count, np.int64),
        left=np.zeros(count + 1, np.int64),
        holders=np.zeros(n, np.int64),
        counters=np.zeros(2, np.int64),
    )
    state.left[0] = int(prices.sum())
    fit = np.flatnonzero(sets.worth >= state.left[0] - (count - 1) * theta)
    state.candidates[0, : len(fit)], state.counts[0] = fit, len(fit)
    while True:
        status = _search(sets, state, theta, steps_a_call)
        if status == _Status.NONE:
            return None
        if status == _Status.COVER:
            partition = _in_order(stages[state.chosen[: state.counters[DEPTH]]], reach)
            if partition is not None:
                return partition
            _retreat(state)
        if should_stop():
            raise OutOfTimeError("stopped while stages were put together")


def _in_order(stages: RoleArray, reach: Closure) -> Partition | None:
    """Return the partition into these stages, in an order that keeps precedence; None if there is no such order."""
    members = stages.astype(np.bool_)
    after = pack_sets(members)
    below = np.array([np.bitwise_or.reduce(reach.descendants[row], axis=0) for row in members])
    precedes: BoolArray = np.asarray((below[:, None, :] & after[None, :, :]).any(axis=2))
    np.fill_diagonal(precedes, False)
    stage_of, left = np.zeros(members.shape[1], np.int64), list(range(len(members)))
    for position in range(len(members)):
        first = next((i for i in left if not precedes[left, i].any()), None)
        if first is None:
            return None
        stage_of[members[first]] = position
        left.remove(first)
    return Partition(stage_of=stage_of)


@kernel
def _search(sets: _Sets, state: _State, theta: int, steps: int) -> _Status:
    """Go on with the search until a cover is complete, nothing is left, or so many candidates have been looked at."""
    counters = state.counters
    counters[STEPS] = 0
    most = len(state.chosen)
    while counters[STEPS] <= steps:
        depth = counters[DEPTH]
        if state.node[depth] < 0:
            if not _choose_node(sets, state, depth):
                return _Status.COVER
            state.at[depth] = 0
        found = -1
        node = state.node[depth]
        while depth < most and state.at[depth] < state.counts[depth]:
            candidate = state.candidates[depth, state.at[depth]]
            state.at[depth] += 1
            counters[STEPS] += 1
            if sets.members[candidate, node >> 6] >> np.uint64(node & 63) & np.uint64(1):
                found = candidate
                break
        if found < 0:
            if depth == 0:
                return _Status.NONE
            _retreat(state)
        else:
            _advance(sets, state, found, theta)
    return _Status.PAUSED


@kernel
def _choose_node(sets: _Sets, state: _State, depth: int) -> bool:
    """Choose the uncovered node with the fewest candidates; return False if all nodes are covered."""
    holders = state.holders
    for v in range(len(holders)):
        holders[v] = 0
    for i in range(state.counts[depth]):
        candidate = state.candidates[depth, i]
        for e in range(sets.ptr[candidate], sets.ptr[candidate + 1]):
            holders[sets.nodes[e]] += 1
        state.counters[STEPS] += sets.ptr[candidate + 1] - sets.ptr[candidate]
    best = -1
    for v in range(len(holders)):
        covered = False
        for d in range(depth):
            if sets.members[state.chosen[d], v >> 6] >> np.uint64(v & 63) & np.uint64(1):
                covered = True
        if not covered and (best < 0 or holders[v] < holders[best]):
            best = v
    state.node[depth] = best
    return best >= 0


@kernel
def _advance(sets: _Sets, state: _State, chosen: int, theta: int) -> None:
    """Choose a set, and keep the candidates that go with it."""
    depth = state.counters[DEPTH]
    most = len(state.chosen)
    state.chosen[depth] = chosen
    left = state.left[depth] - sets.worth[chosen]
    least = left - (most - depth - 2) * theta
    kept = 0
    for i in range(state.counts[depth]):
        candidate = state.candidates[depth, i]
        if sets.worth[candidate] >= least and _go_together(sets, chosen, candidate):
            state.candidates[depth + 1, kept] = candidate
            kept += 1
    state.counters[STEPS] += state.counts[depth]
    state.counts[depth + 1] = kept
    state.left[depth + 1] = left
    state.node[depth + 1] = -1
    state.counters[DEPTH] = depth + 1


@kernel
def _go_together(sets: _Sets, a: int, b: int) -> bool:
    """Whether two sets are disjoint and at most one of them has to come before the other."""
    above = below = False
    for word in range(sets.members.shape[1]):
        if sets.members[a, word] & sets.members[b, word]:
            return False
        above |= bool(sets.below[a, word] & sets.members[b, word])
        below |= bool(sets.below[b, word] & sets.members[a, word])
    return not (above and below)


@kernel
def _retreat(state: _State) -> None:
    """Give up the latest choice."""
    state.counters[DEPTH] -= 1

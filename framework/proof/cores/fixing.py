"""Rules *fixing* and *filter*: what cores leave of a problem at a threshold, round after round.

*fixing* goes on until nothing is left, or few ideals; *filter* hands on what is left to the rule of the next step.

docs/proofs.md proves that each round keeps a partition within the threshold if there is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import and_, or_
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.proof.cores.program import Counting
from framework.proof.cores.survivors import Alive, BothWays
from framework.proof.ideals import ideal_program
from framework.proof.problem import PlainProblem, RefusedError, Tensor
from framework.proof.reductions import _Merging, contract, on_each_kind

PARTS = ("threshold", "order", "fluid", "units", "common", "ways", "some", "arcs", "moves", "branches")
"""The lists that a round consists of, one after the other; nodes go by the numbers that they have before the first."""


def fixing(
    problem: PlainProblem, threshold: int, *, rounds: Sequence[Sequence[int]], plain: bool = False
) -> tuple[int, str]:
    """Refute a threshold; return the bound, and what was done, in words.

    Parameters
    ----------
    rounds
        `PARTS` of each round. `threshold`: that of the round. `order`, `fluid`, `common`, `some`: as in a core program.
        `units`: a number of nodes, and these, again and again. `ways`: what is counted, the grain, and on different
        devices the weights, of each way in which the core is read; none without a core. `arcs`: pairs of nodes, the
        first in no later stage than the second. `moves`: as in `contract`. `branches`: numbers of branches, of nodes in
        each, of the place of the node that puts them in order, and the nodes; again and again.

    Raises
    ------
    RefusedError
        If a round says what its core does not show, or something is left, and its ideals do reach the end.
    """
    left = Left(problem)
    number = left.refuted_by(rounds, threshold, plain)
    if number is not None:
        return threshold + 1, f"nothing is left after {number} rounds"
    bound, words = ideal_program(left.problem, threshold, plain=plain)
    return bound, f"{left.problem.n} nodes are left after {len(rounds) // len(PARTS)} rounds: {words}"


def filtered(
    problem: PlainProblem, threshold: int, *, rounds: Sequence[Sequence[int]], plain: bool = False
) -> PlainProblem:
    """Return what rounds leave of a problem at a threshold, with windows; the rounds are as in `fixing`.

    Raises
    ------
    RefusedError
        If a round says what its core does not show, or nothing is left.
    """
    left = Left(problem)
    if left.refuted_by(rounds, threshold, plain) is not None:
        raise RefusedError("nothing is left: the rule fixing says so")
    windows = tuple((first + 1, last + 1) for first, last in left.windows or ())
    return replace(left.problem, node_of=tuple(left.problem.node_of[v] for v in problem.node_of), windows=windows)


class Left:
    """What is left of a problem: it has a partition within the threshold if the problem has one.

    Pins, limits and windows of the problem are forgotten.

    Attributes
    ----------
    windows
        The first and the last stage of each node in all partitions within the threshold; None if all may be anywhere.
    """

    def __init__(self, problem: PlainProblem) -> None:
        problem = on_each_kind(problem, lambda kind: replace(kind, node_of=tuple(range(problem.n))))
        self.problem = replace(problem, pins=(), limit=None, windows=())
        self.windows: list[tuple[int, int]] | None = None

    def refuted_by(self, rounds: Sequence[Sequence[int]], threshold: int, plain: bool) -> int | None:
        """Make rounds; return after how many of them nothing is left, None if something is after all."""
        if len(rounds) % len(PARTS):
            raise RefusedError("the lists are not those of rounds")
        for number, lists in enumerate(_in_runs(rounds, len(PARTS)), 1):
            parts = dict(zip(PARTS, lists, strict=True))
            if len(parts["threshold"]) != 1 or parts["threshold"][0] < threshold:
                raise RefusedError("a round is not at a threshold as high as that to be refuted")
            if self.refuted_by_round(parts, plain):
                return number
        return None

    def refuted_by_round(self, parts: Mapping[str, Sequence[int]], plain: bool) -> bool:
        """Make a round; return whether nothing is left."""
        if parts["ways"]:
            if not self._read_core(parts, plain):
                return True
        elif parts["arcs"]:
            raise RefusedError("without a core nothing shows an arc")
        self._becomes(contract(self.problem, self._here(parts["moves"])))
        self._put_in_order(parts["branches"])
        return self.windows is not None and any(first > last for first, last in self.windows)

    def _here(self, nodes: Sequence[int]) -> list[int]:
        """Return what holds the given nodes now."""
        node_of = self.problem.node_of
        if not all(0 <= v < len(node_of) for v in nodes):
            raise RefusedError("there is no such node")
        return [node_of[v] for v in nodes]

    def _read_core(self, parts: Mapping[str, Sequence[int]], plain: bool) -> bool:
        """Read a core in all ways, take what it shows, and the arcs that follow; return whether anything is left."""
        both, alive = self.alive(parts, plain=plain)
        if alive is None:
            return False
        self._narrow_windows(both, alive)
        arcs = _in_runs(self._here(parts["arcs"]), 2)
        _check_arcs(self.problem, both, alive, arcs)
        self._becomes(tied(self.problem, arcs))
        return True

    def alive(self, parts: Mapping[str, Sequence[int]], *, plain: bool) -> tuple[BothWays, Alive | None]:
        """Read a core in all ways; return it with the ideals that survive."""
        (threshold, *_), some = parts["threshold"], frozenset(self._here(parts["some"]))
        size = 2 + 2 * len(self.problem.kinds)
        if self.problem.filled == 1 or len(parts["ways"]) % size:
            raise RefusedError(f"a core is read for at least two stages, in ways given by {size} numbers each")
        order, fluid, common = (self._here(parts[part]) for part in ("order", "fluid", "common"))
        units = [self._here(unit) for unit in _in_lists(parts["units"])]
        both = BothWays(self.problem, order, fluid, units, common)
        alive = self._in_windows(both)
        for counted, grain, *weights in _in_runs(parts["ways"], size):
            kept = both.survivors(threshold, Counting(counted, some, grain, tuple(weights)), alive, plain)
            if kept is None:
                return both, None
            alive = kept
        return both, alive

    def _in_windows(self, both: BothWays) -> Alive:
        """Return which ideals keep to the windows, after each number of stages."""
        nodes, members, windows, alive = both.forwards.core.nodes, both.forwards.members, self.windows, Alive()
        if windows is None:
            return [np.ones(len(members), np.bool_)] * (self.problem.filled - 1)
        for b in range(1, self.problem.filled):
            may = sum(1 << i for i, v in enumerate(nodes) if windows[v][0] < b)
            must = sum(1 << i for i, v in enumerate(nodes) if windows[v][1] < b)
            alive.append(np.array([not row & ~may and not must & ~row for row in members], np.bool_))
        return alive

    def _narrow_windows(self, both: BothWays, alive: Alive) -> None:
        """Take from what is alive where each node can be, and what follows from that for nodes before and after it."""
        problem, members = self.problem, both.forwards.members
        windows = self.windows or [(0, problem.filled - 1)] * problem.n
        first, last = [w[0] for w in windows], [w[1] for w in windows]
        for b, row in enumerate(alive, 1):
            sets = [members[i] for i in np.flatnonzero(row).tolist()]
            some, every = reduce(or_, sets, 0), reduce(and_, sets, -1)
            for i, v in enumerate(both.forwards.core.nodes):
                if not some >> i & 1:
                    first[v] = max(first[v], b)
                if every >> i & 1:
                    last[v] = min(last[v], b - 1)
        for v in problem.order:
            first[v] = max([first[v], *(first[u] for u in problem.predecessors[v])])
        for v in reversed(problem.order):
            last[v] = min([last[v], *(last[u] for u in problem.successors[v])])
        self.windows = list(zip(first, last, strict=True))

    def _becomes(self, problem: PlainProblem) -> None:
        """Go on with a problem of fewer nodes, or more arcs; windows of nodes that are one hold all for it."""
        before, windows = self.problem, self.windows
        self.problem = problem
        if windows is None:
            return
        if problem.filled != before.filled:
            self.windows = None
            return
        merged = [(0, problem.filled - 1)] * problem.n
        for old, new in zip(before.node_of, problem.node_of, strict=True):
            merged[new] = max(merged[new][0], windows[old][0]), min(merged[new][1], windows[old][1])
        self.windows = merged

    def _put_in_order(self, branches: Sequence[int]) -> None:
        """Put branches that can be exchanged in order, by arcs between nodes of one place in them."""
        if branches and self.problem.kinds:
            raise RefusedError("branches are put in order where stages are alike")
        at, arcs, used = 0, list[Sequence[int]](), list[int]()
        while at < len(branches):
            count, size, place = (*branches[at : at + 3], 0, 0)[:3]
            first, at = at + 3, at + 3 + count * size
            if count < 2 or not 0 <= place < size or at > len(branches):
                raise RefusedError("the branches are none")
            nodes = self._here(branches[first:at])
            used += nodes
            for one, other in pairwise(_in_runs(nodes, size)):
                arcs.append((one[place], other[place]))
                _check_exchange(self.problem, one, other)
        if len(set(used)) < len(used):
            raise RefusedError("branches have nodes in common")
        self._becomes(tied(self.problem, arcs))


def _check_exchange(problem: PlainProblem, one: Sequence[int], other: Sequence[int]) -> None:
    """Check that a problem stays the same if the nodes of two branches change places, one by one."""
    image = list(range(problem.n))
    for u, v in zip(one, other, strict=True):
        image[u], image[v] = v, u
    held = (problem.parameters, problem.working) if problem.can_overflow else ()
    for row in (problem.work, *held):
        if any(row[v] != row[image[v]] for v in one):
            raise RefusedError("branches that differ cannot be exchanged")
    paid: dict[tuple[int, frozenset[int]], int] = {}
    for cost, producer, consumers in problem.tensors:
        paid[producer, consumers] = paid.get((producer, consumers), 0) + cost
    for (producer, consumers), cost in paid.items():
        source, readers = image[producer], frozenset(image[v] for v in consumers)
        if cost and paid.get((source, readers)) != cost:
            raise RefusedError("branches that are tied differently cannot be exchanged")
        if not all(problem.below[source] >> v & 1 for v in readers):
            raise RefusedError("branches that come in another order cannot be exchanged")
    if any(q.users != frozenset(image[v] for v in q.users) for q in problem.shared):
        raise RefusedError("branches that share something cannot be exchanged")


def _in_runs(items: Sequence[Any], size: int) -> list[list[Any]]:
    return [list(items[i : i + size]) for i in range(0, len(items), size)]


def _in_lists(items: Sequence[int]) -> Iterator[list[int]]:
    """Yield lists that stand one after the other, each with its length before it."""
    at = 0
    while at < len(items):
        first, at = at + 1, at + 1 + items[at]
        if at < first or at > len(items):
            raise RefusedError("the units are none")
        yield list(items[first:at])


def arcs_shown(both: BothWays, alive: Alive) -> Iterator[tuple[int, int]]:
    """Yield all pairs of core nodes of which the first is in every ideal alive with the second."""
    holds = _columns(both, alive)
    for u in holds:
        yield from ((u, v) for v in holds if u != v and not (holds[v] & ~holds[u]).any())


def _columns(both: BothWays, alive: Alive) -> dict[int, NDArray[np.bool_]]:
    """Return of each core node which of the ideals that are alive anywhere hold it."""
    kept = np.flatnonzero(reduce(or_, alive)).tolist()
    width = len(both.forwards.core.nodes) // 8 + 1
    rows = np.frombuffer(b"".join(both.forwards.members[i].to_bytes(width, "little") for i in kept), np.uint8)
    bits = np.unpackbits(rows.reshape(len(kept), width), axis=1, bitorder="little").astype(np.bool_)
    return {v: bits[:, i].copy() for i, v in enumerate(both.forwards.core.nodes)}


def _check_arcs(problem: PlainProblem, both: BothWays, alive: Alive, arcs: Sequence[Sequence[int]]) -> None:
    """Check that of each pair of nodes the first is in every ideal alive with the second, or before it anyway."""
    holds = _columns(both, alive)
    for pair in arcs:
        if len(pair) != 2:
            raise RefusedError("the arcs are not pairs")
        u, v = pair
        if problem.below[u] >> v & 1:
            continue
        if u not in holds or v not in holds or (holds[v] & ~holds[u]).any():
            raise RefusedError(f"nothing shows that what holds node {u} is in no later stage than what holds node {v}")


def tied(problem: PlainProblem, arcs: Sequence[Sequence[int]]) -> PlainProblem:
    """Return a problem with more arcs; nodes on a cycle share a stage, and become one."""
    more = tuple(Tensor(0, u, frozenset((v,))) for u, v in arcs if u != v and not problem.below[u] >> v & 1)
    problem = on_each_kind(problem, lambda kind: replace(kind, tensors=kind.tensors + more))
    merging = _Merging(problem)
    for _, u, heads in more:
        (v,) = heads
        if merging.group_of(u) != merging.group_of(v):
            cycle = _reach(problem.successors, v) & _reach(problem.predecessors, u)
            for x in cycle - {u} if u in cycle else ():
                if merging.group_of(x) != merging.group_of(u):
                    merging.join(merging.group_of(x), merging.group_of(u))
    return merging.result()


def _reach(next_to: Sequence[set[int]], start: int) -> set[int]:
    seen, waiting = {start}, [start]
    while waiting:
        fresh = next_to[waiting.pop()] - seen
        seen |= fresh
        waiting += fresh
    return seen

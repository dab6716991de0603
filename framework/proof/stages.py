"""Rules of proof about what a single stage can hold: *windows* adds up work; the others use minimum cuts.

These are *anchored cut*, *stage prices*, *counting shares*, and *threshold contraction*, which makes a smaller problem.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache

from framework.proof.cuts import closed, least_cut, members
from framework.proof.problem import PlainProblem, RefusedError, Shared
from framework.proof.reductions import together

SHARES = 64
"""The share of the parameters in an anchored cut is a multiple of its inverse."""
ONE = 1 << 60
"""Shares of a stage are rounded down to multiples of its inverse."""
BRANCHES = -1
"""Second number of a row of a tree that branches."""


def anchored_cut(problem: PlainProblem, node: int, share: int) -> int:
    """Return what a stage that holds a node costs at least, by one cut with `share` 64ths of the parameters."""
    if not 0 <= node < problem.n or not 0 <= share <= SHARES:
        raise RefusedError("node or share is out of range")
    weights = [SHARES * w + share * p for w, p in zip(problem.work, problem.parameters, strict=True)]
    shared = [q._replace(cost=share * q.cost) for q in problem.shared]
    value = least_cut(problem, weights, shared, scale=SHARES, inside=1 << node)
    return -((share * problem.capacity - value) // SHARES)


def stage_prices(
    problem: PlainProblem,
    threshold: int,
    *,
    prices: Sequence[int],
    theta: int,
    order: Sequence[int],
    tree: Sequence[int],
) -> tuple[int, str]:
    """Refute a threshold: no stage of that cost is worth more than theta, and all nodes more than k theta."""
    if len(prices) != problem.n or sorted(order) != list(range(problem.n)) or theta < 0:
        raise RefusedError("the prices, or the order, are not of these nodes")
    if sum(prices) <= problem.filled * theta:
        raise RefusedError(f"all nodes are worth {sum(prices)} and k stages {problem.filled * theta}")
    stages, rows, excluded = _Stages(problem, threshold), _rows(tree), 0
    for v in order:
        stages.walk(rows, prices, theta, 1 << v, excluded)
        excluded |= 1 << v
    if next(rows, None) is not None:
        raise RefusedError("the tree goes on after its end")
    return threshold + 1, stages.summary()


def counting_shares(
    problem: PlainProblem,
    threshold: int,
    *,
    weights: Sequence[int],
    bounds: Sequence[int],
    trees: Sequence[Sequence[int]],
) -> tuple[int, str]:
    """Refute a threshold: the least shares of a stage of that cost that nodes take up are more than k in all."""
    if not len(weights) == len(bounds) == len(trees) == problem.n or min(weights) < 1 or min(bounds) < 0:
        raise RefusedError("weights, bounds or trees are not of these nodes")
    # A bound of 0 on the weight of stages that hold the node, which weighs something, says that there are none.
    if min(bounds) > 0 and sum(a * ONE // g for a, g in zip(weights, bounds, strict=True)) <= problem.filled * ONE:
        raise RefusedError("the shares are no more than k stages")
    stages = _Stages(problem, threshold)
    for v in range(problem.n):
        rows = _rows(trees[v])
        stages.walk(rows, weights, bounds[v], 1 << v, 0)
        if next(rows, None) is not None:
            raise RefusedError("a tree goes on after its end")
    return threshold + 1, stages.summary()


def threshold_contract(problem: PlainProblem, threshold: int, rounds: Sequence[Sequence[int]]) -> PlainProblem:
    """Make one node of pairs of nodes that share a stage in every partition within a threshold.

    Parameters
    ----------
    rounds
        x, y, x', y', ... of each round: what holds y comes after what holds x in the problem that the rounds before
        have left, and no stage within the threshold holds the one, and nothing that goes beyond it with the other.

    Raises
    ------
    RefusedError
        If some stage may.
    """
    problem.check_alike()
    left = replace(problem, node_of=tuple(range(problem.n)))
    for pairs in rounds:
        if len(pairs) % 2 or not all(0 <= v < problem.n for v in pairs):
            raise RefusedError("the pairs are none, or of other nodes")
        nodes = [left.node_of[v] for v in pairs]
        sets = list(zip(nodes[::2], nodes[1::2], strict=True))
        for u, v in sets:
            if u == v or not left.below[u] >> v & 1:
                raise RefusedError("in a pair the second node does not come after the first")
            if not is_dear(left, threshold, 1 << u, left.below[v]) and not is_dear(
                left, threshold, 1 << v, left.above[u]
            ):
                raise RefusedError(f"nothing shows that what holds nodes {u} and {v} shares a stage")
        left = together(left, sets)
    return replace(left, node_of=tuple(left.node_of[v] for v in problem.node_of))


def is_dear(problem: PlainProblem, threshold: int, inside: int, outside: int) -> bool:
    """Whether all stages that hold some nodes and avoid others cost more than a threshold, by one of two cuts."""
    for share in (0, 1):
        weights = [w + share * p for w, p in zip(problem.work, problem.parameters, strict=True)]
        shared = [q._replace(cost=share * q.cost) for q in problem.shared]
        value = least_cut(problem, weights, shared, scale=1, inside=inside, outside=outside)
        if value - share * problem.capacity > threshold:
            return True
    return False


def windows(problem: PlainProblem, threshold: int) -> int:
    """Refute a threshold because some node has no stage: too much comes before it and after it."""
    if threshold >= 0 and all(first <= last for first, last in stage_windows(problem, threshold)):
        raise RefusedError("every node has a stage")
    return threshold + 1


def stage_windows(problem: PlainProblem, threshold: int) -> list[tuple[int, int]]:
    """Return the first and the last of the stages 1, ..., K that each node can be in at a threshold."""
    k, room = problem.filled, max(0, problem.capacity - min(problem.working))
    held = [w + p for w, p in zip(problem.work, problem.parameters, strict=True)]
    found = list(problem.windows) or [(1, k)] * problem.n
    weights: list[tuple[Sequence[int], int, tuple[Shared, ...]]] = [(problem.work, threshold, ())]
    for weight, most, shared in [*weights, (held, threshold + room, problem.shared)]:
        rows = [(1 << v, size) for v, size in enumerate(weight) if size]
        rows += [(sum(1 << v for v in q.users), q.cost) for q in shared]
        found = [
            (
                max(first, _stages_of(problem.above[v], rows, most)),
                min(last, k + 1 - _stages_of(problem.below[v], rows, most)),
            )
            for v, (first, last) in enumerate(found)
        ]
    return found


def _stages_of(nodes: int, rows: Sequence[tuple[int, int]], most: int) -> int:
    """Return how many stages of at most so much it takes to hold what some nodes have, far too many if none can be."""
    size = sum(cost for users, cost in rows if users & nodes)
    return -(-size // most) if most else size << 20


def _rows(tree: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    if len(tree) % 3:
        raise RefusedError("the tree has no rows of three numbers")
    return zip(tree[::3], tree[1::3], tree[2::3], strict=True)


class _Stages:
    """What is known of the convex sets of cost at most a threshold."""

    def __init__(self, problem: PlainProblem, threshold: int) -> None:
        if threshold < 0:
            raise RefusedError("the threshold is below 0")
        self.problem, self.threshold = problem, threshold
        self.capacity = min(problem.capacity, problem.held(range(problem.n)))
        self.windows = stage_windows(problem, threshold)
        self.leaves = self.cuts = 0
        # Remembered for each node, and for each node and tensor.
        self.apart_from, self.uncovers = cache(self._apart_from), cache(self._uncovers)
        self.costs_more = cache(self._costs_more)

    def summary(self) -> str:
        """Say how much was done."""
        return f"{self.leaves} leaves, {self.cuts} cuts"

    def walk(
        self, rows: Iterator[tuple[int, int, int]], prices: Sequence[int], theta: int, inside: int, outside: int
    ) -> None:
        """Check one tree: no set that holds and avoids these is worth more than theta.

        Raises
        ------
        RefusedError
            If the rows are no tree, or a leaf does not show it.
        """
        waiting = [(inside, outside)]
        while waiting:
            inside, outside = waiting.pop()
            row = next(rows, None)
            if row is None:
                raise RefusedError("a tree ends too early")
            first, second, share = row
            if second == BRANCHES:
                if not 0 <= first < self.problem.n or (inside | outside) >> first & 1:
                    raise RefusedError(f"a tree branches on node {first}, which is decided, or does not exist")
                waiting += [(inside, outside | 1 << first), (inside | 1 << first, outside)]
                continue
            self.leaves += 1
            if first < 0 or second < 0 or first + second == 0 or share not in (0, 1):
                raise RefusedError("a leaf has no multiplier")
            if not any(self._is_bounded(prices, theta, inside, outside, row, rules) for rules in (False, True)):
                raise RefusedError("a leaf does not bound its sets")

    def _is_bounded(
        self, prices: Sequence[int], theta: int, inside: int, outside: int, leaf: tuple[int, int, int], rules: bool
    ) -> bool:
        """Whether one cut shows it; with rules, what cannot share a stage at the threshold is excluded first."""
        problem, (num, den, share) = self.problem, leaf
        sets = closed(problem, inside, outside)
        opened: list[int] = []
        if rules and sets is not None:
            inside, outside = sets
            for v in members(inside):
                outside |= self.apart_from(v)
            sets = None if inside & outside else closed(problem, inside, outside)
            opened = [
                t for t, tensor in enumerate(problem.tensors) if tensor.cost and self._is_open(t, inside, outside)
            ]
        if sets is None:
            return True
        self.cuts += 1
        weights = [
            num * (w + share * p) - den * price
            for w, p, price in zip(problem.work, problem.parameters, prices, strict=True)
        ]
        shared = [q._replace(cost=num * share * q.cost) for q in problem.shared]
        value = least_cut(problem, weights, shared, scale=num, inside=sets[0], outside=sets[1], opened=opened)
        return num * (self.threshold + share * self.capacity) - value < den * (theta + 1)

    def _is_open(self, t: int, inside: int, outside: int) -> bool:
        """Whether some pin of a tensor is outside of every set that holds the nodes inside and costs little enough."""
        pins = self._pins(t)
        return not pins & outside and any(self.uncovers(v, t) for v in members(inside))

    def _pins(self, t: int) -> int:
        tensor = self.problem.tensors[t]
        return sum(1 << v for v in tensor.consumers) | 1 << tensor.producer

    def _apart_from(self, v: int) -> int:
        """Return the nodes that share no stage with a node, as a bit set."""
        first, last = self.windows[v]
        return sum(
            1 << u
            for u, (first_of_u, last_of_u) in enumerate(self.windows)
            if u != v and (last < first_of_u or last_of_u < first or self.costs_more(1 << u | 1 << v))
        )

    def _uncovers(self, v: int, t: int) -> bool:
        """Whether no stage holds a node and all pins of a tensor."""
        pins = self._pins(t)
        return bool(pins & self.apart_from(v)) or self.costs_more(pins | 1 << v)

    def _costs_more(self, inside: int) -> bool:
        """Whether all convex sets that hold some nodes cost more than the threshold."""
        sets = closed(self.problem, inside, 0)
        if sets is None or sum(self.problem.work[v] for v in members(sets[0])) > self.threshold:
            return True
        self.cuts += 1
        return least_cut(self.problem, self.problem.work, (), scale=1, inside=sets[0]) > self.threshold

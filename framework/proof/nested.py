"""Rule *nested cuts*: two stages, a tree over what the first of them holds, and a minimum cut at each leaf."""

from __future__ import annotations

from collections.abc import Sequence

from framework.proof.cuts import least_cut, members
from framework.proof.problem import PlainProblem, RefusedError


def nested_cuts(problem: PlainProblem, threshold: int, tree: Sequence[Sequence[int]]) -> tuple[int, str]:
    """Refute a threshold for two stages.

    Parameters
    ----------
    tree
        Rows in preorder. ``[v, 0]`` branches: v is in the first stage, then v is in the second. At a leaf there is no
        such partition: by ``[a, b, c, d]``, as a times the cost of the first stage and b times that of the second
        exceed a + b times the threshold, with c and d times what they hold beyond the capacity; or by ``[]``, as the
        nodes that must be in one stage are too much for it.

    Raises
    ------
    RefusedError
        If the rows are no tree, or a leaf does not show it.
    """
    if problem.stages != 2:
        raise RefusedError("nested cuts are about two stages")
    if threshold < 0:
        raise RefusedError("the threshold is below 0")
    search, rows = _Search(problem, threshold), iter(tree)
    waiting: list[tuple[int, int] | None] = [search.root()]
    while waiting:
        sides = waiting.pop()
        row = next(rows, None)
        if row is None:
            raise RefusedError("the tree ends too early")
        if len(row) == 2:
            v, boundary = row
            if not 0 <= v < problem.n or boundary:
                raise RefusedError(f"the tree branches on node {v} or boundary {boundary}, which does not exist")
            first, second = sides or (0, 0)
            both = (search.closed(first, second | 1 << v), search.closed(first | 1 << v, second))
            waiting += both if sides is not None else (None, None)
        elif sides is not None:
            search.check_leaf(row, *sides)
    if next(rows, None) is not None:
        raise RefusedError("the tree goes on after its end")
    return threshold + 1, f"{len(tree)} rows, {search.cuts} cuts"


class _Search:
    """What is known of two stages of cost at most a threshold; the sides, bit sets, hold what is in each for sure."""

    def __init__(self, problem: PlainProblem, threshold: int) -> None:
        self.problem, self.threshold, self.cuts = problem, threshold, 0
        self.capacity = min(problem.capacity, problem.held(range(problem.n)))
        held = [w + p for w, p in zip(problem.work, problem.parameters, strict=True)]
        # What the nodes of a stage weigh, and the most that they may weigh: in work, and with parameters.
        self.weights = [(problem.work, threshold), (held, threshold + self.capacity)]
        self.heaviest = [sorted(range(problem.n), key=lambda v: -weight[v]) for weight, _ in self.weights]

    def root(self) -> tuple[int, int] | None:
        """Return what is certain of all partitions: too much comes before some nodes, or after them."""
        first = second = 0
        for weight, most in self.weights:
            for v in range(self.problem.n):
                if sum(weight[u] for u in members(self.problem.above[v])) > most:
                    second |= 1 << v
                if sum(weight[u] for u in members(self.problem.below[v])) > most:
                    first |= 1 << v
        return self.closed(first, second)

    def closed(self, first: int, second: int) -> tuple[int, int] | None:
        """Add to both sides what must be there, too; None if that is too much for one of them.

        With the first stage are all ancestors of its nodes, with the second all descendants. A node with which one
        stage would weigh too much is in the other.
        """
        problem = self.problem
        while True:
            for v in members(first):
                first |= problem.above[v]
            for v in members(second):
                second |= problem.below[v]
            if first & second:
                return None
            before = first, second
            for (weight, most), heaviest in zip(self.weights, self.heaviest, strict=True):
                rooms = [most - sum(weight[v] for v in members(side)) for side in before]
                if min(rooms) < 0:
                    return None
                for v in heaviest:
                    if weight[v] <= min(rooms):
                        break
                    if not (before[0] | before[1]) >> v & 1:
                        second |= (weight[v] > rooms[0]) << v
                        first |= (weight[v] > rooms[1]) << v
            if (first, second) == before:
                return before

    def check_leaf(self, row: Sequence[int], first: int, second: int) -> None:
        """Refuse a leaf whose multipliers do not show that no such partition keeps to the threshold."""
        if len(row) != 4 or not (0 <= row[2] <= row[0] and 0 <= row[3] <= row[1]) or not row[0] + row[1]:
            raise RefusedError("a leaf has no multipliers")
        one, other, held_by_one, held_by_other = row
        problem = self.problem
        # What each node costs in the second stage, and what it costs more in the first.
        base = [other * w + held_by_other * p for w, p in zip(problem.work, problem.parameters, strict=True)]
        more = [
            one * w + held_by_one * p - cost for w, p, cost in zip(problem.work, problem.parameters, base, strict=True)
        ]
        self.cuts += 1
        value = least_cut(problem, more, (), scale=one + other, inside=first, outside=second, nested=True)
        value += sum(base) - (held_by_one + held_by_other) * self.capacity
        if value <= (one + other) * self.threshold:
            raise RefusedError("a leaf does not refute its partitions")

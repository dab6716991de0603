"""Rule *lp dual*: a tree over which groups of stages nodes are in, and a dual solution of a linear model at each leaf.

The log names rows of the program with their multipliers, and the checker makes each row itself. docs/proofs.md proves
that every partition within the threshold is a point of the program of some leaf.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import accumulate

from framework.proof.problem import PlainProblem, RefusedError
from framework.proof.stages import stage_windows

COST, HELD, GROUPS, EDGE, READ, OUT, IN, USED = range(8)
"""The kinds of rows, see the methods of `RowSum`."""
LENGTHS = (1, 1, 2, 3, 3, 2, 3, 3)
"""How many numbers say which row of each kind it is."""


def lp_dual(
    problem: PlainProblem,
    threshold: int,
    *,
    sizes: Sequence[int],
    tensors: Sequence[Sequence[int]],
    shared: Sequence[Sequence[int]],
    tree: Sequence[Sequence[int]],
) -> tuple[int, str]:
    """Return the bound that multipliers prove, at most the threshold and 1, and what was done, in words.

    Parameters
    ----------
    sizes
        Of each group of consecutive stages, the number of its stages.
    tensors
        Producer and consumers of each tensor that rows name by its place here; others cost nothing.
    shared
        Users of each shared parameter that rows name so; others cost nothing.
    tree
        Vertices in preorder. ``[v, j]`` branches: v is in one of the first j groups, then v is in a later one. A leaf
        is a list of rows one after the other: of each a multiplier, the kind, and the numbers that say which row it is.
        It is empty where some node has no stage.

    Raises
    ------
    RefusedError
        If something is not as it has to be, or nothing is proved.
    """
    if threshold < 0 or not sizes or min(sizes) < 1 or sum(sizes) != problem.filled:
        raise RefusedError("the groups are not those of all stages, or the threshold is below 0")
    rows, waiting, bound = iter(tree), [stage_windows(problem, threshold)], threshold + 1
    total = RowSum(problem, sizes, tensors, shared)
    while waiting:
        windows, vertex = closed_windows(problem, waiting.pop()), next(rows, None)
        if vertex is None:
            raise RefusedError("the tree ends too early")
        if len(vertex) == 2:
            v, j = vertex
            if not 0 <= v < problem.n or not 0 <= j <= len(sizes):
                raise RefusedError(f"the tree branches on node {v} or boundary {j}, which does not exist")
            waiting += [total.side(windows, v, j, later=True), total.side(windows, v, j, later=False)]
        elif all(first <= last for first, last in windows):
            bound = min(bound, total.least(windows, vertex))
    if next(rows, None) is not None:
        raise RefusedError("the tree goes on after its end")
    return bound, f"{len(tree)} vertices"


Windows = list[tuple[int, int]]
"""The first and the last stage of each node, from 1."""


def closed_windows(problem: PlainProblem, windows: Windows) -> Windows:
    """Return windows in which no node is before its predecessors, or after its successors."""
    first, last = [window[0] for window in windows], [window[1] for window in windows]
    for v in problem.order:
        first[v] = max([first[v], *(first[u] for u in problem.predecessors[v])])
    for v in reversed(problem.order):
        last[v] = min([last[v], *(last[u] for u in problem.successors[v])])
    return list(zip(first, last, strict=True))


class RowSum:
    """The sum of some rows: factors times columns, and the constant, are at most `weight` times the bottleneck.

    The columns are: whether a node is in one of the first j groups; whether all readers of a tensor are; whether group
    s pays for a tensor that it makes, or that it reads; whether it holds a shared parameter. All of these lie between 0
    and 1. One more, "over", is what group s pays for parameters.
    """

    def __init__(
        self,
        problem: PlainProblem,
        sizes: Sequence[int],
        tensors: Sequence[Sequence[int]],
        shared: Sequence[Sequence[int]],
    ) -> None:
        self.problem, self.sizes = problem, sizes
        self.stages_before = [0, *accumulate(sizes)]
        self.parameters, users, costs = list(problem.parameters), defaultdict[frozenset[int], int](int), _Costs(int)
        for q in problem.shared:
            if len(q.users) == 1:
                # What has one user belongs to it.
                self.parameters[min(q.users)] += q.cost
            else:
                users[q.users] += q.cost
        for cost, producer, consumers in problem.tensors:
            costs[producer, consumers] += cost
        self.tensors = [(row[0], frozenset(row[1:])) for row in tensors if row]
        self.shared = [frozenset(row) for row in shared]
        if len(set(self.tensors)) < len(tensors) or len(set(self.shared)) < len(shared):
            raise RefusedError("a tensor or a shared parameter is none, or named twice")
        if not costs.keys() >= set(self.tensors) or not users.keys() >= set(self.shared):
            raise RefusedError("a tensor or a shared parameter does not exist")
        self.tensor_cost, self.shared_cost = [costs[ends] for ends in self.tensors], [users[row] for row in self.shared]
        n, groups, number = problem.n, len(sizes), len(tensors)
        self.kinds: list[tuple[Callable[..., None], tuple[int, ...]]] = [
            (self._cost, (groups,)),
            (self._held, (groups,)),
            (self._groups, (groups, n)),
            (self._edge, (groups, n, n)),
            (self._read, (groups, number, n)),
            (self._out, (groups, number)),
            (self._in, (groups, number, n)),
            (self._used, (groups, len(shared), n)),
        ]

    def side(self, windows: Windows, v: int, j: int, *, later: bool) -> Windows:
        """Return the windows of a node in one of the first j groups, or in a later one."""
        (first, last), end = windows[v], self.stages_before[j]
        window = (max(first, end + 1), last) if later else (first, min(last, end))
        return [*windows[:v], window, *windows[v + 1 :]]

    def start(self, windows: Windows) -> None:
        """Begin a sum, of rows under windows."""
        self.windows, self.weight, self.constant = windows, 0, 0
        self.factor = defaultdict[tuple[str, int, int], int](int)

    def least(self, windows: Windows, leaf: Sequence[int]) -> int:
        """Return what the rows of a leaf prove of partitions within windows."""
        self.start(windows)
        at = 0
        while at < len(leaf):
            at += self.add(leaf[at:])
        if not self.weight:
            raise RefusedError("the multipliers put no weight on the bottleneck")
        return self.bound()

    def add(self, row: Sequence[int]) -> int:
        """Add a row: its multiplier, its kind, and which one it is; return how many numbers it has."""
        if len(row) < 2 or row[0] < 0 or not 0 <= row[1] < len(self.kinds):
            raise RefusedError("a row is none")
        make, ends = self.kinds[row[1]]
        which = row[2 : 2 + len(ends)]
        if len(which) < len(ends) or not all(0 <= i < end for i, end in zip(which, ends, strict=True)):
            raise RefusedError("a row does not exist")
        make(row[0], *which)
        return 2 + len(ends)

    def bound(self) -> int:
        """Return the least bottleneck, rounded up, that the sum allows to columns between their ends."""
        total = sum(self.parameters) + sum(self.shared_cost)
        least = self.constant
        for (what, s, _), factor in self.factor.items():
            most = max(0, total - self.sizes[s] * self.problem.capacity) if what == "over" else 1
            least += min(0, most * factor)
        return -(-least // self.weight)

    def _cost(self, times: int, s: int) -> None:
        """What group s costs is at most the bottleneck of each of its stages."""
        for v, work in enumerate(self.problem.work):
            self._in_group(times * work, s, v)
        for t, cost in enumerate(self.tensor_cost):
            if s == 0:
                self._crossing(times * cost, 1, t)
            elif s == len(self.sizes) - 1:
                self._crossing(times * cost, s, t)
            else:
                self.factor["out", s, t] += times * cost
                self.factor["in", s, t] += times * cost
        self.factor["over", s, 0] += times
        self.weight += times * self.sizes[s]

    def _held(self, times: int, s: int) -> None:
        """What group s pays for parameters is what it holds beyond its capacity."""
        for v, held in enumerate(self.parameters):
            self._in_group(times * held, s, v)
        for q, cost in enumerate(self.shared_cost):
            self.factor["held", s, q] += times * cost
        self.factor["over", s, 0] -= times
        self.constant -= times * self.sizes[s] * self.problem.capacity

    def _groups(self, times: int, j: int, v: int) -> None:
        """What is in one of the first j groups is in one of the first j + 1."""
        self._node(times, j, v)
        self._node(-times, j + 1, v)

    def _edge(self, times: int, j: int, u: int, v: int) -> None:
        """What comes before a node in one of the first j groups is in one of them."""
        if not self.problem.below[u] >> v & 1:
            raise RefusedError("a row is of two nodes that come in no order")
        self._node(times, j, v)
        self._node(-times, j, u)

    def _read(self, times: int, j: int, t: int, v: int) -> None:
        """All readers of a tensor are in the first j groups only if one of them is."""
        self._check(v in self.tensors[t][1])
        self._done(times, j, t)
        self._node(-times, j, v)

    def _out(self, times: int, s: int, t: int) -> None:
        """A tensor that goes beyond group s, and not beyond the one before, is made in s, which pays."""
        self._crossing(times, s + 1, t)
        self._crossing(-times, s, t)
        self.factor["out", s, t] -= times

    def _in(self, times: int, s: int, t: int, v: int) -> None:
        """Group s pays for a tensor that it reads and does not make."""
        self._check(v in self.tensors[t][1])
        self._in_group(times, s, v)
        self._in_group(-times, s, self.tensors[t][0])
        self.factor["in", s, t] -= times

    def _used(self, times: int, s: int, q: int, v: int) -> None:
        """Group s holds what one of its nodes uses."""
        self._check(v in self.shared[q])
        self._in_group(times, s, v)
        self.factor["held", s, q] -= times

    def _check(self, right: bool) -> None:
        if not right:
            raise RefusedError("a row is of a node that reads or uses nothing of it")

    def _node(self, amount: int, j: int, v: int) -> None:
        """Add an amount times: node v is in one of the first j groups. Windows may say that it is, or is not."""
        first, last = self.windows[v]
        if last <= self.stages_before[j]:
            self.constant += amount
        elif first <= self.stages_before[j]:
            self.factor["node", j, v] += amount

    def _in_group(self, amount: int, s: int, v: int) -> None:
        self._node(amount, s + 1, v)
        self._node(-amount, s, v)

    def _done(self, amount: int, j: int, t: int) -> None:
        """Add an amount times: all readers of tensor t are in the first j groups. One may be known to be the last."""
        readers, before = self.tensors[t][1], self.stages_before[j]
        waited_for = [v for v in self._last(t) if self.windows[v][1] > before]
        if any(self.windows[v][0] > before for v in readers):
            return
        if len(waited_for) > 1:
            self.factor["done", j, t] += amount
        elif waited_for:
            self._node(amount, j, waited_for[0])
        else:
            self.constant += amount

    def _last(self, t: int) -> list[int]:
        """Return the readers of a tensor that come before no other one."""
        readers = self.tensors[t][1]
        bits = sum(1 << v for v in readers)
        return [v for v in readers if self.problem.below[v] & bits == 1 << v]

    def _crossing(self, amount: int, j: int, t: int) -> None:
        """Add an amount times: a tensor is made in the first j groups, and read beyond."""
        self._node(amount, j, self.tensors[t][0])
        self._done(-amount, j, t)


_Costs = defaultdict[tuple[int, frozenset[int]], int]

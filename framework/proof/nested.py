"""Rule *nested cuts*: a tree over which groups of consecutive stages nodes are in, and a minimum cut at each leaf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from framework.proof.cuts import Network
from framework.proof.problem import PlainProblem, RefusedError, Tensor
from framework.proof.stages import stage_windows

Windows = tuple[list[int], list[int]]
"""The first and the last group of each node."""


def nested_cuts(
    problem: PlainProblem,
    threshold: int,
    *,
    sizes: Sequence[int],
    tree: Sequence[Sequence[int]],
    tensors: Sequence[Sequence[int]],
    shares: Sequence[Sequence[int]],
) -> tuple[int, str]:
    """Refute a threshold.

    Parameters
    ----------
    sizes
        Of each group, the number of its stages.
    tree
        Rows in preorder. ``[v, j]`` branches: v is in group j or an earlier one, then v is in a later one. At a leaf
        there is no such partition: by ``[]``, as the nodes that must be in some groups are too much for them; or as the
        groups' costs, each times its multiplier, exceed what they sum to at the threshold. The row has a multiplier for
        each group, then for each one how often what it holds beyond its capacity counts; then, perhaps, the number of
        the shares by which tensors are charged.
    tensors
        The producer and the consumers of each tensor that `shares` are about.
    shares
        For each of these tensors as many numbers as there are boundaries of groups: what crossing each of them costs,
        times the cost of the tensor. Without shares it costs what both groups pay where there are two, else nothing.

    Raises
    ------
    RefusedError
        If the rows are no tree, or a leaf does not show it.
    """
    if len(sizes) < 2 or min(sizes) < 1 or sum(sizes) != problem.filled:
        raise RefusedError("the groups are not those of all stages, two groups or more")
    if threshold < 0:
        raise RefusedError("the threshold is below 0")
    search, rows = Search(problem, threshold, sizes), iter(tree)
    waiting = [search.root()]
    while waiting:
        windows = waiting.pop()
        row = next(rows, None)
        if row is None:
            raise RefusedError("the tree ends too early")
        if len(row) == 2:
            v, j = row
            if not 0 <= v < problem.n or not 0 <= j < len(sizes) - 1:
                raise RefusedError(f"the tree branches on node {v} or boundary {j}, which does not exist")
            waiting += [search.side(windows, v, j, later=True), search.side(windows, v, j, later=False)]
        elif windows is not None:
            charges, multipliers = None, list(row)
            if len(row) == 2 * len(sizes) + 1:
                *multipliers, number = row
                if not 0 <= number < len(shares):
                    raise RefusedError("a leaf has shares that do not exist")
                charges = _shares_by_tensor(tensors, shares[number], len(sizes) - 1)
            search.check_leaf(multipliers, charges, *windows)
    if next(rows, None) is not None:
        raise RefusedError("the tree goes on after its end")
    return threshold + 1, f"{len(tree)} rows, {search.cuts} cuts"


Shares = Mapping[tuple[int, frozenset[int]], Sequence[int]]
"""What crossing each boundary costs for tensors by their producer and consumers."""


def _shares_by_tensor(tensors: Sequence[Sequence[int]], shares: Sequence[int], boundaries: int) -> Shares:
    if len(shares) != len(tensors) * boundaries or min(map(len, tensors), default=1) < 1 or min(shares, default=0) < 0:
        raise RefusedError("the shares are not those of the tensors")
    rows = (shares[i : i + boundaries] for i in range(0, len(shares), boundaries))
    return {(producer, frozenset(heads)): row for (producer, *heads), row in zip(tensors, rows, strict=True)}


class Search:
    """What is known of groups of stages of cost at most a threshold."""

    def __init__(self, problem: PlainProblem, threshold: int, sizes: Sequence[int]) -> None:
        self.problem, self.threshold, self.sizes, self.cuts = problem, threshold, sizes, 0
        most = problem.held(range(problem.n))
        self.capacities = [min(size * problem.capacity, most) for size in sizes]
        # What has one user belongs to it.
        self.parameters = list(problem.parameters)
        for q in problem.shared:
            if len(q.users) == 1:
                self.parameters[min(q.users)] += q.cost
        held = [w + p for w, p in zip(problem.work, self.parameters, strict=True)]
        # What nodes weigh, and the most that each group may weigh: in work, and with parameters if they can overflow.
        self.weights: list[tuple[Sequence[int], list[int]]] = [(problem.work, [size * threshold for size in sizes])]
        if problem.can_overflow:
            most_held = [size * threshold + room for size, room in zip(sizes, self.capacities, strict=True)]
            self.weights.append((held, most_held))

    def root(self) -> Windows | None:
        """Return the windows of all partitions; None if some node has no stage."""
        windows = stage_windows(self.problem, self.threshold)
        if any(first > last for first, last in windows):
            return None
        group_of = [group for group, size in enumerate(self.sizes) for _ in range(size)]
        return self.closed([group_of[w[0] - 1] for w in windows], [group_of[w[1] - 1] for w in windows])

    def side(self, windows: Windows | None, v: int, j: int, *, later: bool) -> Windows | None:
        """Return the windows of a node beyond boundary j, or up to it."""
        if windows is None:
            return None
        first, last = list(windows[0]), list(windows[1])
        if later:
            first[v] = max(first[v], j + 1)
        else:
            last[v] = min(last[v], j)
        return self.closed(first, last)

    def closed(self, first: list[int], last: list[int]) -> Windows | None:
        """Narrow windows, in place, by what comes before and after nodes, and by what fits; None if nothing does."""
        problem = self.problem
        before: Windows | None = None
        while (first, last) != before:
            before = first[:], last[:]
            for v in problem.order:
                first[v] = max([first[v], *(first[u] for u in problem.predecessors[v])])
            for v in reversed(problem.order):
                last[v] = min([last[v], *(last[u] for u in problem.successors[v])])
            if any(one > other for one, other in zip(first, last, strict=True)):
                return None
            if not all(_fit(weight, most, first, last) for weight, most in self.weights):
                return None
        return first, last

    def check_leaf(self, row: Sequence[int], shares: Shares | None, first: list[int], last: list[int]) -> None:
        """Refuse a leaf whose multipliers do not show that no such partition keeps to the threshold."""
        groups = len(self.sizes)
        loads, overflow = row[:groups], row[groups:]
        if (
            len(row) != 2 * groups
            or not any(loads)
            or not all(0 <= few <= load for load, few in zip(loads, overflow, strict=True))
        ):
            raise RefusedError("a leaf has no multipliers")
        if self.least(row, shares, first, last) <= self.threshold * _dot(loads, self.sizes):
            raise RefusedError("a leaf does not refute its partitions")

    def least(self, row: Sequence[int], shares: Shares | None, first: list[int], last: list[int]) -> int:
        """Bound from below what all groups cost, each times its multiplier."""
        problem, groups = self.problem, len(self.sizes)
        loads, overflow = row[:groups], row[groups:]
        cut = _Cut(problem, first, last)
        for v, (work, held) in enumerate(zip(problem.work, self.parameters, strict=True)):
            cut.charge(v, [load * work + few * held for load, few in zip(loads, overflow, strict=True)])
        for tensor in problem.tensors:
            if tensor.cost:
                cut.charge_tensor(tensor, loads, shares)
        self.cuts += 1
        return cut.value() - _dot(overflow, self.capacities)


def _dot(one: Sequence[int], other: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(one, other, strict=True))


def _fit(weight: Sequence[int], most: Sequence[int], first: list[int], last: list[int]) -> bool:
    """Narrow windows, in place, by what each group, all up to one, and all from one on may weigh; whether all fits."""
    groups = range(len(most))
    room, upto, beyond = list(most), list(most), list(most)
    for size, one, other in zip(weight, first, last, strict=True):
        upto[other] -= size
        beyond[one] -= size
        if one == other:
            room[one] -= size
    for g in groups[1:]:
        upto[g] += upto[g - 1]
        beyond[-1 - g] += beyond[-g]
    if min(*room, *upto, *beyond) < 0:
        return False
    for v, size in enumerate(weight):
        while first[v] < last[v] and size > min(room[first[v]], upto[first[v]]):
            first[v] += 1
        while first[v] < last[v] and size > min(room[last[v]], beyond[last[v]]):
            last[v] -= 1
    return True


class _Cut:
    """A bound on sums over groups: of what nodes cost in each, and of what crosses boundaries between them.

    Vertex j n + v of the network is inside if node v is in group j or an earlier one.
    """

    def __init__(self, problem: PlainProblem, first: list[int], last: list[int]) -> None:
        self.problem, self.first, self.last, self.base = problem, first, last, 0
        self.boundaries = max(last, default=0)
        vertices = [(j * problem.n + v, v, j) for j in range(self.boundaries) for v in range(problem.n)]
        self.weights = [0] * len(vertices)
        inside = sum(1 << x for x, v, j in vertices if last[v] <= j)
        self.network = Network(len(vertices), inside, sum(1 << x for x, v, j in vertices if first[v] > j))

    def charge(self, v: int, costs: Sequence[int]) -> None:
        """Let a node cost so much in each group."""
        self.base += costs[self.boundaries]
        for j in range(self.boundaries):
            self.weights[j * self.problem.n + v] += costs[j] - costs[j + 1]

    def cross(self, nodes: Sequence[int], j: int, cost: int) -> None:
        """Let it cost something if some nodes are up to a boundary and some are beyond."""
        self.base += self.network.add_net([j * self.problem.n + v for v in nodes], cost)

    def charge_tensor(self, tensor: Tensor, loads: Sequence[int], shares: Shares | None) -> None:
        """Charge what groups pay for a tensor at least, each times its multiplier."""
        u, heads, groups = tensor.producer, sorted(tensor.consumers), range(len(loads))
        paid = [load * tensor.cost for load in loads]
        # The groups of the producer, and those of the last consumer.
        first, last = self.first[u], self.last[u]
        start, end = max(self.first[v] for v in heads), max(self.last[v] for v in heads)
        if last >= start:
            for j, share in enumerate(_crossing(tensor, loads, shares, (first, last, start, end))[:end]):
                if share:
                    self.cross([u, *heads], j, share * tensor.cost)
            return
        self.charge(u, paid)
        for g in {self.first[v] for v in heads if self.first[v] == self.last[v]} & set(range(first + 1, start)):
            self.charge(u, [paid[g] * (p < g) for p in groups])
        ends = [v for v in heads if self.problem.below[v] & sum(1 << w for w in heads) == 1 << v]
        if len(ends) == 1:
            self.charge(ends[0], paid)
            return
        least = [min(paid[q : end + 1]) for q in range(start, end + 1)]
        self.base += least[0]
        for j, (one, other) in enumerate(pairwise(least), start):
            self.cross([u, *heads], j, other - one)

    def value(self) -> int:
        """Return the bound."""
        n = self.problem.n
        for j in range(self.boundaries):
            for v in range(n):
                for u in self.problem.predecessors[v]:
                    self.network.bind(j * n + v, j * n + u)
                if j:
                    self.network.bind((j - 1) * n + v, j * n + v)
        return self.base + self.network.weigh(self.weights) + self.network.checked_flow()


def _crossing(
    tensor: Tensor, loads: Sequence[int], shares: Shares | None, windows: tuple[int, int, int, int]
) -> Sequence[int]:
    """Return how often a tensor is charged for crossing each boundary: in all no more than its groups pay."""
    nothing = [0] * (len(loads) - 1)
    crossing = nothing if shares is None else shares.get((tensor.producer, tensor.consumers), nothing)
    if shares is None and len(loads) == 2:
        return [sum(loads)]
    first, last, start, end = windows
    for p in range(first, last + 1):
        for q in range(max(p + 1, start), end + 1):
            if sum(crossing[p:q]) > loads[p] + loads[q]:
                raise RefusedError("the shares of a tensor exceed what its groups pay")
    return crossing

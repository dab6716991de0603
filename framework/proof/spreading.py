"""Rule *spreading metric*: what a stage holds is close together, if each tensor is as long as it is cut.

The inequalities are linear in the lengths of the tensors and in the bottleneck. Multipliers on them add up to a bound,
whatever the lengths are (weak duality); docs/proofs.md proves each inequality.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations

from framework.proof.problem import PlainProblem, RefusedError
from framework.proof.stages import is_dear, stage_windows

FREE = -1
"""The step to a node that is in every stage that holds the root and the node before."""
HEAD = 5
"""Numbers of a row before its steps: multiplier, root, share, target, and how many steps there are."""


def spreading_metric(
    problem: PlainProblem,
    threshold: int,
    *,
    total: int,
    tensors: Sequence[Sequence[int]],
    cliques: Sequence[Sequence[int]],
    rows: Sequence[Sequence[int]],
) -> tuple[int, str]:
    """Return the bound that multipliers prove, at most the threshold and 1, and what was done, in words.

    Parameters
    ----------
    total
        Multiplier of the inequality of all stages.
    tensors
        Producer and consumers of each tensor that others name by its place here.
    cliques
        A tensor, and some of its nodes of which no two share a stage at the threshold.
    rows
        Multiplier, root, share of the parameters (0 or 1), target or -1, number of steps; then of each step a node, the
        node before it, and the tensor that both are of, or `FREE`; then pairs of a tensor that is counted, and one of
        its nodes. Of a row with a target only the path to it counts: it shares no stage with the root.

    Raises
    ------
    RefusedError
        If something is not as it has to be, or nothing is proved.
    """
    if problem.shared or threshold < 0 or total < 0:
        raise RefusedError("a metric has no shared parameters, and no negative threshold or multiplier")
    if any(first > last for first, last in stage_windows(problem, threshold)):
        return threshold + 1, "some node has no stage"
    metric = _Metric(problem, threshold, tensors)
    metric.add_total(total, cliques)
    for row in rows:
        metric.add_row(row)
    if not metric.weight:
        raise RefusedError("the multipliers put no weight on the bottleneck")
    slack = sum(max(factor, low * factor) for factor, low in zip(metric.factor, metric.low, strict=True))
    bound = -((slack - metric.least) // metric.weight)
    return min(threshold + 1, bound), f"{len(rows)} rows, {metric.apart.cache_info().currsize} pairs of nodes apart"


class _Metric:
    """A sum of inequalities: `weight` times the bottleneck and `factor` times the lengths are at least `least`."""

    def __init__(self, problem: PlainProblem, threshold: int, tensors: Sequence[Sequence[int]]) -> None:
        self.problem, self.threshold = problem, threshold
        self.capacity = min(problem.capacity, problem.held(range(problem.n)))
        self.windows = stage_windows(problem, threshold)
        self.apart = cache(self._apart)
        costs: dict[tuple[int, frozenset[int]], int] = {}
        for cost, producer, consumers in problem.tensors:
            costs[producer, consumers] = costs.get((producer, consumers), 0) + cost
        ends = [(row[0], frozenset(row[1:])) if row else None for row in tensors]
        if len(set(ends)) < len(ends) or not set(ends) <= set(costs):
            raise RefusedError("a tensor does not exist, or is named twice")
        self.pins = [frozenset(row) for row in tensors]
        self.costs = [costs[end] for end in ends if end]
        self.weight = self.least = 0
        self.factor, self.low = [0] * len(ends), [0] * len(ends)

    def _apart(self, u: int, v: int) -> bool:
        """Whether no stage of a partition within the threshold holds both of two nodes."""
        (first, last), (other_first, other_last) = self.windows[u], self.windows[v]
        if u == v or last < other_first or other_last < first:
            return u != v
        return is_dear(self.problem, self.threshold, 1 << u | 1 << v, 0)

    def add_total(self, multiplier: int, cliques: Sequence[Sequence[int]]) -> None:
        """Add the inequality of all stages: they pay twice for a cut tensor, or once for each of nodes apart."""
        problem, stages = self.problem, self.problem.filled
        over = max(0, sum(problem.parameters) - stages * self.capacity)
        self.weight += multiplier * stages
        self.least += multiplier * (sum(problem.work) + over)
        for t, cost in enumerate(self.costs):
            self.factor[t] -= 2 * multiplier * cost
        for row in cliques:
            t, nodes = (row[0], row[1:]) if row else (-1, row)
            if not 0 <= t < len(self.costs) or self.low[t] or len(nodes) < 2 or not self.pins[t].issuperset(nodes):
                raise RefusedError("a clique is not of the nodes of one tensor")
            if not all(self.apart(min(pair), max(pair)) for pair in combinations(nodes, 2)):
                raise RefusedError("two nodes of a clique may share a stage")
            self.low[t] = 1
            self.least += multiplier * (len(nodes) - 2) * self.costs[t]

    def add_row(self, row: Sequence[int]) -> None:
        """Add the inequality of the stage of one node, or of two nodes apart, and the paths that it goes by."""
        if len(row) < HEAD or (len(row) - HEAD - row[4]) % 2:
            raise RefusedError("a row is none")
        multiplier, root, share, target, count = row[:HEAD]
        steps, cuts = row[HEAD : HEAD + 3 * count], row[HEAD + 3 * count :]
        if multiplier < 0 or not 0 <= root < self.problem.n or share not in (0, 1) or not 0 <= count == len(steps) // 3:
            raise RefusedError("a row is out of range")
        before = self._paths(root, steps)
        if target != -1:
            if target not in before or not self.apart(min(root, target), max(root, target)):
                raise RefusedError("a row does not lead to a node apart from its root")
            self.least += multiplier
            while target != root:
                target, t = before[target]
                if t != FREE:
                    self.factor[t] += multiplier
            return
        counted = dict(zip(cuts[::2], cuts[1::2], strict=True))
        if len(counted) < len(cuts) // 2 or not all(
            0 <= t < len(self.costs) and v in before and v in self.pins[t] for t, v in counted.items()
        ):
            raise RefusedError("a row counts a tensor twice, or from outside its paths")
        # What each node weighs, with all that comes after it on paths.
        load = {v: self.problem.work[v] + share * self.problem.parameters[v] for v in before}
        self.weight += multiplier
        self.least += multiplier * (sum(load.values()) - share * self.capacity)
        for t, v in counted.items():
            self.factor[t] -= multiplier * self.costs[t]
            load[v] += self.costs[t]
        for v in reversed(before):
            parent, t = before[v]
            if v != root:
                load[parent] += load[v]
            if t != FREE:
                self.factor[t] += multiplier * load[v]

    def _paths(self, root: int, steps: Sequence[int]) -> dict[int, tuple[int, int]]:
        """Return of each node on the paths the one before it and the tensor between; parents come first."""
        below, before = self.problem.below, {root: (root, FREE)}
        for v, parent, t in zip(steps[::3], steps[1::3], steps[2::3], strict=True):
            if not 0 <= v < self.problem.n or v in before or parent not in before:
                raise RefusedError("a path does not start at its root")
            if t == FREE:
                after = below[root] >> v & 1 and below[v] >> parent & 1
                if not after and not (below[parent] >> v & 1 and below[v] >> root & 1):
                    raise RefusedError("a step is not free")
            elif not 0 <= t < len(self.pins) or not {v, parent} <= self.pins[t]:
                raise RefusedError("a step is not along its tensor")
            before[v] = parent, t
        return before

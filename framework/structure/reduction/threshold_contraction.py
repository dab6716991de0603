"""Threshold contraction: nodes that share a stage in every partition of bottleneck at most T become one.

Take an edge u -> v and a partition that separates its ends. The stage S of u comes before that of v, so it holds
neither v nor a descendant of v; the stage of v holds neither u nor an ancestor of u. Stages are convex, hence

    f(S) >= A = min over sets with u, without v and its descendants, closed around u,

and likewise B for the stage of v; both are minimum cuts (`framework.structure.flow.convex_cuts`). If A > T or B > T no
partition of bottleneck at most T separates u and v, and contracting the edge keeps all of them. If even the cheapest
set around some node costs more than T there is no such partition at all. Contraction forces more contraction, so it is
repeated to a fixed point. The result is good for this threshold and all below, never for higher ones. Sizes of a hard
limit add up, and anchors stay apart or the limit is broken: partitions that obey it are partitions of the result that
do.

Overflow enters as p(S) - capacity or as 0, whichever is larger: neither is above max(0, p(S) - capacity). In p(S) a
parameter that several nodes of S use counts once, as the cuts charge it.

Most edges need no cut. A set with u that costs at most T and holds none of v and its descendants shows A <= T for v and
for every other head it avoids: such sets are remembered, the node by itself being the first. Where no node by itself
costs more than T there is nothing to do.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray, find_root
from framework.model.instance import Instance
from framework.model.problem import Problem
from framework.structure.bit_sets import BitArray
from framework.structure.flow.convex_cuts import NodeCuts, costs_alone, set_cost
from framework.structure.poset.closure import BoolArray, indices, transitive_reduction
from framework.structure.reduction.contraction import compose, contract

MOST_NODES = 5_000
"""Larger instances are not contracted for a decision: their networks take long to build."""


def contract_at_threshold(
    instance: Instance,
    threshold: int,
    *,
    should_stop: Callable[[], bool] = lambda: False,
    noted: list[list[int]] | None = None,
) -> Instance | None:
    """Contract every edge that no partition of bottleneck at most `threshold` (ticks) separates.

    Parameters
    ----------
    noted
        Gets a list for each round, of the ends of edges that cuts show not to be separated, one after the other: nodes
        of the instance, one for those that were contracted before.

    Returns
    -------
    An instance whose partitions of bottleneck at most the threshold are those of the given one, with `node_of_input`
    from the nodes of the given one; None if there are none for any number of stages.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true.
    """
    reduced = contract(instance, np.arange(instance.n, dtype=np.int64))
    while (dear := costs_alone(reduced) > threshold).any():
        cuts = _Cuts(reduced, threshold, should_stop)
        if any(not cuts.affordable(v) for v in np.flatnonzero(dear).tolist()):
            return None
        pairs = list[tuple[int, int]]()
        label = _labels(cuts, dear, pairs)
        if np.array_equal(label, np.arange(reduced.n)):
            break
        if noted is not None:
            names = np.empty(reduced.n, np.int64)
            names[reduced.node_of_input[::-1]] = np.arange(instance.n)[::-1]
            noted.append(names[np.array(pairs, np.int64)].ravel().tolist())
        reduced = compose(reduced, contract(reduced, label))
    return reduced


def _labels(cuts: _Cuts, dear: BoolArray, pairs: list[tuple[int, int]]) -> IntArray:
    """Return a label for each node, equal for nodes that must share a stage; add the edges that show that."""
    instance, reach = cuts.instance, cuts.cuts.reach
    root = list(range(instance.n))
    tails, heads = transitive_reduction(instance)
    either = dear[tails] | dear[heads]
    for u, v in zip(tails[either].tolist(), heads[either].tolist(), strict=True):
        mine, other = find_root(root, u), find_root(root, v)
        if mine == other:
            continue
        after, before = reach.descendants[v], reach.ancestors[u]
        if (dear[u] and not cuts.affordable(u, v, after)) or (dear[v] and not cuts.affordable(v, u, before)):
            root[max(mine, other)] = min(mine, other)
            pairs.append((u, v))
    return np.array([find_root(root, v) for v in range(instance.n)], np.int64)


class _Cuts:
    """Cheapest sets around nodes, and the sets within the threshold that were met: ``[n]`` flags for each node."""

    def __init__(self, instance: Instance, threshold: int, should_stop: Callable[[], bool]) -> None:
        self.instance, self.threshold = instance, threshold
        self.cuts = NodeCuts(instance, should_stop=should_stop)
        self._met: dict[int, list[BoolArray]] = {}

    def affordable(self, anchor: int, neighbour: int = -1, beyond: BitArray | None = None) -> bool:
        """Whether some set that is closed around the anchor, without a neighbour and what is beyond it, may keep to T.

        True may be wrong, False is proven.
        """
        outside = np.zeros(0, np.int64)
        if beyond is not None:
            outside = np.append(indices(beyond), neighbour)
            if any(not members[outside].any() for members in self._met.get(anchor, ())):
                return True
        instance = self.instance
        for share in (0, 1) if instance.can_overflow else (0,):
            limit = self.threshold + share * instance.capacity
            found = self.cuts.minimise(
                instance.work + share * instance.parameter_cost,
                share * instance.shared_cost,
                inside=[anchor],
                outside=outside,
                anchors=[anchor],
                limit=limit + 1,
            )
            if found.value > limit:
                return False
            if set_cost(instance, found.members) <= self.threshold:
                members = np.zeros(instance.n, np.bool_)
                members[found.members] = True
                self._met.setdefault(anchor, []).append(members)
                return True
        return True


class ContractedProblems:
    """One problem, contracted at one threshold after the other; where nothing changes, the same object comes again.

    Parameters
    ----------
    max_nodes
        Larger instances are left as they are.

    Attributes
    ----------
    rounds
        What cuts have shown at the latest threshold, for a checker.
    """

    def __init__(self, problem: Problem, *, max_nodes: int = MOST_NODES) -> None:
        self._problem = self._latest = problem
        self.rounds = list[list[int]]()
        self._worthwhile = problem.instance.n <= max_nodes

    def at(self, threshold: int, should_stop: Callable[[], bool] = lambda: False) -> Problem | None:
        """Return the problem for a threshold (ticks), its `node_of_input` from the nodes of the given one.

        None if no partition keeps to the threshold. If time runs out, the problem itself.
        """
        self.rounds = []
        if not self._worthwhile:
            return self._problem
        try:
            reduced = contract_at_threshold(
                self._problem.instance, threshold, should_stop=should_stop, noted=self.rounds
            )
        except OutOfTimeError:
            return self._problem
        if reduced is None:
            return None
        if reduced.n == self._problem.instance.n:
            return self._problem
        latest = self._latest.instance
        if self._latest is self._problem or not np.array_equal(latest.node_of_input, reduced.node_of_input):
            self._latest = self._problem.on(reduced)
        return self._latest

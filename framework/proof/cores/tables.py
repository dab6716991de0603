"""What is known of each ideal of a core: sums over its nodes, the nets it cuts, and what fluid may and must be done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from framework.proof.cores.core import Core, order_of
from framework.proof.cores.nets import Costs
from framework.proof.cores.walk import Nets
from framework.proof.ideals import enumerate_ideals, rows_of
from framework.proof.problem import PlainProblem
from framework.proof.walk import Ideals

IntArray: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """All ideals of a core, smaller ones first.

    Attributes
    ----------
    problem
        The one that the core is of, with shared parameters as `held_by` leaves them.
    nets
        Rows of core nodes, without costs.
    net_costs
        Of each net, on each kind of device.
    size_ptr
        Where those of each size begin.
    members
        Their nodes, as bit sets.
    found_from, last
        The one that each was first found from, and the node that was added.
    opened, closed
        Pairs of an ideal and a net, in two rows: what it cuts, or cuts no more, but not the one that it was found from.
    ready, due
        Pairs of an ideal and a fluid node: what may be done with it, and what must, likewise.
    released
        Pairs of an ideal and a shared parameter that only its nodes use.
    """

    problem: PlainProblem
    core: Core
    nets: Nets
    net_costs: list[Costs]
    ideals: Ideals
    size_ptr: list[int]
    members: list[int]
    found_from: IntArray
    last: IntArray
    opened: IntArray
    closed: IntArray
    ready: IntArray
    due: IntArray
    released: IntArray

    def over_nodes(self, row: Sequence[int]) -> IntArray:
        """Return the sum of something over the nodes of each ideal."""
        steps = np.asarray(row, np.int64)[self.last]
        steps[0] = 0
        return self._added_up(steps)

    def cut(self, costs: Sequence[int]) -> IntArray:
        """Return what the nets cost that each ideal cuts, given what each costs."""
        return self._added_up(self._of_pairs(self.opened, costs) - self._of_pairs(self.closed, costs))

    def may(self, weights: Sequence[int]) -> IntArray:
        """Return what the fluid weighs that may be done with each ideal."""
        return self._added_up(self._of_pairs(self.ready, weights))

    def must(self, weights: Sequence[int]) -> IntArray:
        """Return what the fluid weighs that must be done with each ideal."""
        return self._added_up(self._of_pairs(self.due, weights))

    def held_beyond(self, costs: Sequence[int]) -> IntArray:
        """Return what the core nodes beyond each ideal hold of shared parameters."""
        return sum(costs) - self._added_up(self._of_pairs(self.released, costs))

    def _of_pairs(self, pairs: IntArray, weights: Sequence[int]) -> IntArray:
        steps = np.zeros(len(self.members), np.int64)
        np.add.at(steps, pairs[0], np.asarray(weights, np.int64)[pairs[1]])
        return steps

    def _added_up(self, steps: IntArray) -> IntArray:
        for low, high in pairwise((*self.size_ptr[1:], len(self.members))):
            steps[low:high] += steps[self.found_from[low:high]]
        return steps


def tables_of(problem: PlainProblem, core: Core, nets: Sequence[tuple[frozenset[int], Costs]]) -> Tables:
    """Enumerate the ideals of a core and gather what is known of them, from the smallest to the largest.

    Parameters
    ----------
    problem
        With shared parameters as `held_by` leaves them.
    nets
        Sets of core nodes, numbered as in the problem, with costs.

    Raises
    ------
    RefusedError
        If there are too many.
    """
    lattice, rows = enumerate_ideals(order_of(problem, core)), _net_rows(core, nets)
    ideals, count = lattice.ideals[-1], len(lattice.pinned)
    masks = [sum(1 << v for v in rows.pins[rows.ptr[t] : rows.ptr[t + 1]]) for t in range(len(nets))]
    of_node = [
        [(t, masks[t]) for t in rows.nets[rows.node_ptr[v] : rows.node_ptr[v + 1]]] for v in range(len(core.nodes))
    ]
    number = {v: i for i, v in enumerate(core.nodes)}
    users = [sum(1 << number[v] for v in q.users if v in number) for q in problem.shared]
    uses = [[(q, mask) for q, mask in enumerate(users) if mask >> v & 1] for v in range(len(core.nodes))]
    members, found_from, last = [0] * count, [0] * count, [-1] * count
    opened, closed, due, released = (list[tuple[int, int]]() for _ in range(4))
    ready = [(0, f) for f in core.always_ready]
    for i in range(count):
        inside = members[i]
        for e in range(ideals.ptr[i], ideals.ptr[i + 1]):
            to, v = ideals.leads_to[e], ideals.nodes[e]
            if members[to]:
                continue
            bigger = members[to] = inside | 1 << v
            found_from[to], last[to] = i, v
            opened += [(to, t) for t, mask in of_node[v] if not mask & inside]
            closed += [(to, t) for t, mask in of_node[v] if not mask & ~bigger]
            ready += [(to, f) for f, needs in core.readied_by[v] if not needs & ~bigger]
            due += [(to, f) for f, needs in core.wanted_by[v] if not needs & inside]
            released += [(to, q) for q, mask in uses[v] if not mask & ~bigger]
    return Tables(
        problem=problem,
        core=core,
        nets=rows,
        net_costs=[costs for _, costs in nets],
        ideals=ideals,
        size_ptr=lattice.size_ptr,
        members=members,
        found_from=np.array(found_from, np.int64),
        last=np.array(last, np.int64),
        opened=_two_rows(opened),
        closed=_two_rows(closed),
        ready=_two_rows(ready),
        due=_two_rows(due),
        released=_two_rows(released),
    )


def _two_rows(pairs: Sequence[tuple[int, int]]) -> IntArray:
    return np.array(pairs, np.int64).reshape(-1, 2).T


def _net_rows(core: Core, nets: Sequence[tuple[frozenset[int], Costs]]) -> Nets:
    """Return nets of nodes of the problem as rows of nodes of the core, each as yet without a cost."""
    number = {v: i for i, v in enumerate(core.nodes)}
    ptr, pins = rows_of([sorted(number[v] for v in row) for row, _ in nets])
    of_node: list[list[int]] = [[] for _ in core.nodes]
    for t, (row, _) in enumerate(nets):
        for v in row:
            of_node[number[v]].append(t)
    return Nets([], ptr, pins, *rows_of(of_node))

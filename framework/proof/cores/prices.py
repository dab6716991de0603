"""A core on one kind of device: what a walk over its ideals has to know, and the walk."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from framework.proof.cores.tables import IntArray, Tables
from framework.proof.cores.walk import (
    FAR,
    PATH,
    CoreIdeals,
    CoreScratch,
    Held,
    Priced,
    StageRules,
    States,
    Tolls,
    compiled,
)
from framework.proof.cores.walk import lead_on as plain_loop
from framework.proof.ideals import rows_of
from framework.proof.problem import PlainProblem
from framework.proof.walk import as_arrays

PLAIN_STEPS = 200_000
"""Steps after which the loop is compiled."""
FINEST = 45
"""Bits of the denominator of a rate: no product leaves 64 bits."""


class Fluid(NamedTuple):
    """What each fluid node weighs; what may and must be done with each ideal, and what the latter pays; tolls."""

    weights: list[int]
    most: IntArray
    least: IntArray
    beside: IntArray
    tolls: Tolls


class Kind:
    """What counts on one kind of device.

    Parameters
    ----------
    work, streams
        What a tick of work counts, and one of parameters.
    counted
        Nodes whose parameters count, and those that only they share; None for all.
    """

    def __init__(self, problem: PlainProblem, work: int, streams: int, counted: frozenset[int] | None) -> None:
        self.problem, self.work, self.streams, self.counted = problem, work, streams, counted
        held = sum(problem.parameters) + sum(q.cost for q in problem.shared)
        self.capacity = min(problem.capacity, held)

    def extra(self, nodes: Sequence[int]) -> list[int]:
        """Return what the parameters of nodes weigh."""
        rows = self.problem.parameters
        return [self.streams * rows[v] if self.counted is None or v in self.counted else 0 for v in nodes]

    def weights(self, nodes: Sequence[int]) -> list[int]:
        """Return what nodes weigh."""
        return [self.work * self.problem.work[v] + more for v, more in zip(nodes, self.extra(nodes), strict=True)]

    def shared(self) -> list[int]:
        """Return what shared parameters weigh."""
        some = self.counted
        return [self.streams * q.cost if some is None or q.users <= some else 0 for q in self.problem.shared]

    def gather(self, tables: Tables, costs: Sequence[int], fluid: Fluid) -> None:
        """Fill the tables of a walk.

        Parameters
        ----------
        costs
            Of the nets.
        """
        problem, nodes, count = self.problem, tables.core.nodes, len(tables.members)
        spent = tables.over_nodes(self.extra(nodes))
        available, spent_for_good = np.full(count, FAR), np.zeros(count, np.int64)
        if self.counted is not None:
            beside = self.extra(tables.core.fluid)
            available, spent_for_good = spent + tables.may(beside), spent + tables.must(beside)
        work = self.work * tables.over_nodes([problem.work[v] for v in nodes])
        self.ideals: CoreIdeals = as_arrays(
            CoreIdeals(
                *tables.ideals[:3],
                tables.found_from,
                tables.last,
                work,
                self.work * tables.over_nodes([problem.parameters[v] for v in nodes]),
                self.work * tables.cut(costs),
                work + spent - fluid.beside,
                fluid.most,
                fluid.least,
                available,
                spent_for_good,
            )
        )
        uses = [[q for q, row in enumerate(problem.shared) if v in row.users] for v in nodes]
        held = Held(*rows_of(uses), [self.work * q.cost for q in problem.shared], self.shared())
        nets = tables.nets._replace(cost=[self.work * cost for cost in costs])
        self.priced = Priced(self.ideals, nets, held, fluid.tolls)
        self.rate: Fraction | None = Fraction(0)
        for v, weight in zip(tables.core.fluid, fluid.weights, strict=True):
            if weight and not self.work * problem.work[v]:
                self.rate = None
            elif weight and self.rate is not None:
                self.rate = max(self.rate, Fraction(weight, self.work * problem.work[v]))

    def rules(self, threshold: int, grain: int, *, exchangeable: bool) -> StageRules:
        """Return what a stage keeps to."""
        num, den = (0, 1) if self.rate is None else (self.rate.numerator, self.rate.denominator)
        # Rounded up where the fraction is too fine.
        cut = max(0, den.bit_length() - FINEST)
        whole, num = divmod(-(-num >> cut), den >> cut)
        return StageRules(
            threshold=self.work * threshold,
            allowance=self.streams * self.capacity,
            capacity=self.work * self.capacity,
            apart=not self.streams,
            grain=grain,
            whole=FAR if self.rate is None else min(FAR, whole),
            num=num,
            den=den >> cut,
            exchangeable=exchangeable,
        )


class Walk:
    """The loop, with what does not change from call to call; compiled as soon as there is much to do."""

    def __init__(self, priced: Priced, rules: StageRules, *, plain: bool) -> None:
        nodes, nets, users = len(priced.nets.node_ptr) - 1, len(priced.nets.cost), len(priced.held.cost)
        path = [[0] * PATH for _ in range(nodes + 1)]
        self._scratch = CoreScratch([0] * nodes, [-1] * nets, [0] * nets, [0] * nets, [0] * users, path)
        self._priced, self._rules = priced, rules
        self._left = None if plain else PLAIN_STEPS

    def lead_on(self, queue: IntArray, states: States) -> int:
        """Call the loop; return the steps that it took."""
        known = compiled.cache_info().currsize > 0
        loop = compiled() if self._left is not None and (known or self._left < 0) else None
        if loop is not None:
            return loop(queue, self._compiled[0], self._rules, states, self._compiled[1])
        lists = States(*(row.tolist() for row in states))
        steps = plain_loop(queue.tolist(), self._listed, self._rules, lists, self._scratch)
        for row, changed in zip(states[:-1], lists[:-1], strict=True):
            row[:] = changed
        if self._left is not None:
            # Lists of what is known of all ideals are made for each call.
            self._left -= steps + len(states.value)
        return steps

    @cached_property
    def _listed(self) -> Priced:
        return Priced(*(_as_lists(record) for record in self._priced))

    @cached_property
    def _compiled(self) -> tuple[Any, Any]:
        return Priced(*map(as_arrays, self._priced)), as_arrays(self._scratch)


def _as_lists(record: Any) -> Any:
    return type(record)(*(value.tolist() if isinstance(value, np.ndarray) else value for value in record))

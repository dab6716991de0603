"""The master problem of `benders`: assigns nodes to stages under limits on work and parameters, and keeps all cuts.

It is the superblock model with one stage in each group and free tensors (`framework.structure.models.superblocks`),
handed to CP-SAT, with a variable t_b for the transfers of stage b. An explanation (A, B, C, F) adds for each stage b a
literal e_b with "A in b, B before b, C after b implies e_b" and "e_b implies t_b >= F"; stages that the windows of its
nodes rule out are skipped. Coarsening rounds costs and F down and the capacity up, so a row of a stage stays implied by
the exact one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Problem, Windows
from framework.structure.flow.cut_explanations import Explanation
from framework.structure.models.superblocks import SuperblockModel, SuperblockParts
from framework.structure.models.superblocks_layout import even_layout
from framework.structure.solvers.cp_sat import cp_unit, solve_translated, translate
from framework.structure.solvers.linear_model import ONE, ZERO


def work_parts(instance: Instance, should_stop: Callable[[], bool]) -> SuperblockParts:
    """Return the parts of an instance with free tensors.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true on the way.
    """
    return SuperblockParts(replace(instance, tensor_cost=np.zeros(instance.m, np.int64)), should_stop)


class Master:
    """One master at one threshold.

    Parameters
    ----------
    parts
        From `work_parts`.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true while it is built.
    """

    def __init__(
        self,
        parts: SuperblockParts,
        problem: Problem,
        threshold: int,
        windows: Windows,
        should_stop: Callable[[], bool],
    ) -> None:
        instance, k = problem.instance, problem.useful_stages
        self.stages = k
        self.unit = cp_unit(threshold, 1, instance.capacity if instance.can_overflow else 0)
        self._instance, self._limit = instance, threshold // self.unit
        self._blocks = SuperblockModel(
            parts,
            even_layout(k, k),
            upper=threshold,
            minimise=False,
            unit=self.unit,
            windows=windows,
            should_stop=should_stop,
        )
        self._before = self._blocks.before
        self.impossible = self._blocks.model.infeasible
        self.model, self._columns = translate(self._blocks.model, should_stop)
        self._transfers = [self.model.new_int_var(0, self._limit, "") for _ in range(k)]
        for b in range(k):
            self._add_room(b)

    def solve(
        self, *, seconds: float, threads: int, seed: int, should_stop: Callable[[], bool]
    ) -> tuple[str, IntArray | None]:
        """Return the name of CP-SAT's status and the stage of each node in its solution."""
        if self.impossible:
            return "INFEASIBLE", None
        solver, name = solve_translated(
            self.model, seconds=seconds, threads=threads, seed=seed, should_stop=should_stop
        )
        if name not in ("OPTIMAL", "FEASIBLE"):
            return name, None
        values = np.array([solver.value(column) for column in self._columns], np.float64)
        return name, self._blocks.groups(values)

    def learn(self, explanation: Explanation) -> None:
        """Add an explanation for every stage where it can apply."""
        transfer = explanation.transfer // self.unit
        if not transfer:
            return
        for b in range(self.stages):
            clause = self._unless(b, explanation.inside, explanation.before, explanation.after)
            if clause is None:
                continue
            if transfer > self._limit:
                self.model.add_bool_or(clause)
                continue
            pays = self.model.new_bool_var("")
            self.model.add_bool_or([*clause, pays])
            self.model.add(self._transfers[b] + 0 >= transfer).only_enforce_if(pays)

    def forbid(self, stage_of: IntArray, stage: int) -> None:
        """Forbid one stage as it is; it must cost more than the threshold."""
        inside, before, after = (
            tuple(np.flatnonzero(chosen).tolist()) for chosen in (stage_of == stage, stage_of < stage, stage_of > stage)
        )
        for b in range(self.stages):
            clause = self._unless(b, inside, before, after)
            if clause is not None:
                self.model.add_bool_or(clause)

    def has_room(self, stage_of: IntArray, stage: int, transfer: int) -> bool:
        """Whether the coarse row of a stage lets it pay a transfer (ticks) all the same."""
        members = stage_of == stage
        work = int((self._instance.work[members] // self.unit).sum())
        held = -(-self._instance.capacity // self.unit)
        overflow = max(0, int((self._instance.parameter_cost[members] // self.unit).sum()) - held)
        return work + overflow + transfer // self.unit <= self._limit

    def _literal(self, v: int, stages: int) -> Any:
        """Return "v is in one of the first `stages` stages": a literal, True or False."""
        column = int(self._before[stages, v])
        return {ZERO: False, ONE: True}.get(column, None if column < 0 else self._columns[column])

    def _unless(
        self, b: int, inside: tuple[int, ...], before: tuple[int, ...], after: tuple[int, ...]
    ) -> list[Any] | None:
        """Return the literals of which one holds unless the nodes are as said; None if they cannot be."""
        conditions = [(v, b + 1, True) for v in inside] + [(v, b, False) for v in inside]
        conditions += [(v, b, True) for v in before] + [(v, b + 1, False) for v in after]
        clause: list[Any] = []
        for v, stages, wanted in conditions:
            literal = self._literal(v, stages)
            if isinstance(literal, bool):
                if literal != wanted:
                    return None
                continue
            clause.append(literal.negated() if wanted else literal)
        return clause

    def _add_room(self, b: int) -> None:
        """Add that work, overflow and transfers of a stage fit into the limit."""
        terms: list[tuple[Any, int]] = [(self._transfers[b], 1)]
        terms += self._stage_terms(b, self._instance.work // self.unit)
        self._add_at_most(terms, self._limit)
        if self._instance.can_overflow:
            parameters = self._stage_terms(b, self._instance.parameter_cost // self.unit)
            self._add_at_most(terms + parameters, self._limit + -(-self._instance.capacity // self.unit))

    def _stage_terms(self, b: int, costs: IntArray) -> list[tuple[Any, int]]:
        # A node beyond the limit breaks any row it is in, by however much: clipping keeps numbers small.
        clipped = np.minimum(costs, 2 * self._limit + -(-self._instance.capacity // self.unit) + 1)
        terms = []
        for v, cost in enumerate(clipped.tolist()):
            if cost:
                terms += [(self._literal(v, b + 1), cost), (self._literal(v, b), -cost)]
        return terms

    def _add_at_most(self, terms: list[tuple[Any, int]], limit: int) -> None:
        constant = sum(cost for literal, cost in terms if literal is True)
        free = [(literal, cost) for literal, cost in terms if not isinstance(literal, bool)]
        from ortools.sat.python import cp_model

        total = cp_model.LinearExpr.weighted_sum([literal for literal, _ in free], [cost for _, cost in free])
        self.model.add(total <= limit - constant)

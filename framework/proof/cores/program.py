"""Rule *core program*: some nodes become divisible, and k stages of the others leave too little room for them.

The nodes that do not become *fluid* are the *core*. Its ideals are few where those of all nodes are many. The checker
makes the core itself: the order of its nodes, what tensors cost among them, and what fluid may and must be done by the
time that an ideal of it is. docs/proofs.md proves that every partition at the threshold leads through what it follows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from framework.proof.cores.core import MOST_COSTS, make_core, total_of
from framework.proof.cores.nets import nets_between
from framework.proof.cores.tables import IntArray, Tables, tables_of
from framework.proof.cores.walk import FAR, CoreIdeals, CoreScratch, Nets, StageRules, States, compiled
from framework.proof.cores.walk import lead_on as plain_loop
from framework.proof.ideals import least_above
from framework.proof.problem import PlainProblem, RefusedError
from framework.proof.walk import as_arrays

NOTHING, ALL, SOME = range(3)
"""Whose parameters are counted beside work."""
BARS = 5
"""Rows of `States.bars`."""
PLAIN_STEPS = 200_000
"""Steps after which the loop is compiled."""
A_CALL = 1024
"""Ideals that one call of the loop starts from: between calls Ctrl-C is heard, and it may be compiled."""
REFILL = 4
"""Steps for each edge after which it is looked again what is still of use."""


class TooLongError(Exception):
    """A program took more steps than it was given."""


def core_program(
    problem: PlainProblem,
    threshold: int,
    *,
    order: Sequence[int],
    fluid: Sequence[int],
    backwards: bool,
    counted: int,
    some: Collection[int],
    grain: int,
    chains: Sequence[Sequence[int]],
    plain: bool = False,
) -> tuple[int, str]:
    """Refute a threshold; return the bound, and what was done, in words.

    Parameters
    ----------
    order
        All nodes, each after its predecessors; empty if they are so numbered. Nets are made in this order.
    fluid
        The nodes that become divisible.
    backwards
        Whether all tensors are turned round.
    counted, some
        Whose parameters count beside work: 0 nobody's, 1 everybody's, 2 those of `some` nodes.
    grain
        What fluid weights, and the room for them in each stage, are rounded down to multiples of; 1 for none.
    chains
        Equal nodes of the core that only their numbers in each stage count of.
    plain
        Whether not to compile anything.

    Raises
    ------
    RefusedError
        If so many stages of that cost have room for all that is fluid, or there are too many ideals.
    """
    if threshold < 0:
        return threshold + 1, "no stage costs less than 0"
    order = list(order) or list(range(problem.n))
    core = make_core(problem, order, fluid, backwards, chains)
    tables = tables_of(problem, core, nets_between(problem, order, core.fluid + core.chained))
    program = Program(problem, tables, Counting(counted, frozenset(some), grain))
    reached = program.run(threshold, plain)
    if reached is not None:
        raise RefusedError(f"{reached} stages of cost at most {threshold} may hold all nodes, some of them in parts")
    ideals = len(tables.members)
    words = f"{len(core.fluid)} of {problem.n} nodes in parts, {ideals} ideals, {program.steps} extensions"
    return threshold + 1, words


class Counting(NamedTuple):
    """What counts beside work, as in `core_program`."""

    counted: int
    some: frozenset[int]
    grain: int


class Program:
    """The stages that lead from one ideal of a core to another, and what fluid they have room for.

    Parameters
    ----------
    counting
        What the weight of a node is.

    Raises
    ------
    RefusedError
        If nothing is counted so.
    """

    def __init__(self, problem: PlainProblem, tables: Tables, counting: Counting) -> None:
        self.total = total_of(problem)
        counted, some, grain = counting
        known = counted in (NOTHING, ALL, SOME) and all(0 <= v < problem.n for v in some)
        if not known or not 1 <= grain <= MOST_COSTS:
            raise RefusedError("what is counted is not given as it should be")
        self.tables, self.counted, self.grain, self.steps = tables, counted, grain, 0
        self.stages, self.capacity = problem.filled, min(problem.capacity, sum(problem.parameters))
        nodes, fluid, work, parameters = tables.core.nodes, tables.core.fluid, problem.work, problem.parameters
        extra = [p if counted == ALL or (counted == SOME and v in some) else 0 for v, p in enumerate(parameters)]
        weights = [work[v] + extra[v] - (work[v] + extra[v]) % grain for v in fluid]
        self.fluid = sum(weights)
        self.endless = any(a and not work[v] for a, v in zip(weights, fluid, strict=True))
        rates = [Fraction(a, work[v]) for a, v in zip(weights, fluid, strict=True) if work[v]]
        self.rate = max(rates, default=Fraction(0))
        spent, count = tables.over_nodes([extra[v] for v in nodes]), len(tables.members)
        available, spent_for_good = np.full(count, FAR), np.zeros(count, np.int64)
        if counted == SOME:
            beside = [extra[v] for v in fluid]
            available, spent_for_good = spent + tables.may(beside), spent + tables.must(beside)
        self.most_work = tables.may([work[v] for v in fluid])
        self.most_held = tables.may([parameters[v] for v in fluid])
        self.ideals: CoreIdeals = as_arrays(
            CoreIdeals(
                *tables.ideals[:3],
                tables.found_from,
                tables.last,
                *tables.ideals[3:5],
                tables.cut,
                tables.over_nodes([work[v] for v in nodes]) + spent,
                tables.may(weights),
                tables.must(weights),
                available,
                spent_for_good,
            )
        )

    def run(self, threshold: int, plain: bool) -> int | None:
        """Return how many stages of cost at most the threshold have room for everything; None if all have not."""
        threshold = min(threshold, self.total)
        if self._need(threshold, self.stages)[0] > 0:
            return None
        walk, states = self._begin(threshold, plain, alone_anywhere=self.counted != SOME)
        for level in range(1, self.stages + 1):
            self._one_more_stage(walk, states, self._need(threshold, self.stages - level))
            if states.best[-1] >= self.fluid:
                return level
        return None

    def reached(
        self, threshold: int, plain: bool, floors: Sequence[IntArray], most_steps: int
    ) -> list[IntArray] | None:
        """Return the most fluid done with each ideal after each stage but the last; -1 where that is of no use.

        None if nothing of use is left after some.

        Parameters
        ----------
        floors
            What is of use after each number of stages, at least; never less with more stages.
        most_steps
            Steps after which to give up.

        Raises
        ------
        TooLongError
            If it gives up.
        """
        threshold = min(threshold, self.total)
        if self._need(threshold, self.stages)[0] > 0:
            return None
        walk, states = self._begin(threshold, plain, alone_anywhere=False)
        found, last = list[IntArray](), self.steps + most_steps
        for level in range(1, self.stages):
            need = np.maximum(self._need(threshold, self.stages - level), floors[level - 1])
            self._one_more_stage(walk, states, need, last)
            found.append(np.where(states.best >= need, states.best, -1))
            if not (found[-1] >= 0).any():
                return None
        return found

    def _begin(self, threshold: int, plain: bool, *, alone_anywhere: bool) -> tuple[_Walk, States]:
        """Return the loop, and the states before the first stage."""
        count = len(self.ideals.cut)
        walk = _Walk(self.ideals, self.tables.nets, self._rules(threshold, alone_anywhere), plain=plain)
        value, hurdle, need, best, new_hurdle = (np.full(count, -1) for _ in range(5))
        found, bars = np.zeros(count, np.int64), np.zeros((BARS, count), np.int64)
        states = States(value, hurdle, need, best, new_hurdle, found, bars)
        states.best[0], states.found[0] = 0, 1
        return walk, states

    def _one_more_stage(self, walk: _Walk, states: States, need: IntArray, last: int = FAR) -> None:
        """Lead on from all ideals that the latest stage led to; give up after the last step."""
        queue = np.flatnonzero(states.found)
        states.value[:], states.hurdle[:], states.need[:] = states.best, states.new_hurdle, need
        states.found[:], states.new_hurdle[:] = 0, -1
        # What promises most comes first: the better what is known, the less is of use.
        queue = queue[np.argsort(-(states.best + self.ideals.weight + self.ideals.cut)[queue], kind="stable")]
        steps = limit = REFILL * len(self.ideals.nodes)
        for at in range(0, len(queue), A_CALL):
            if steps >= limit:
                self._raise_bars(states)
                steps = 0
            taken = walk.lead_on(queue[at : at + A_CALL], states)
            steps += taken
            self.steps += taken
            if self.steps > last:
                raise TooLongError

    def _rules(self, threshold: int, alone_anywhere: bool) -> StageRules:
        whole, num = divmod(self.rate.numerator, self.rate.denominator)
        return StageRules(
            threshold=threshold,
            allowance=self.capacity if self.counted else 0,
            capacity=self.capacity,
            grain=self.grain,
            whole=FAR if self.endless else whole,
            num=num,
            den=self.rate.denominator,
            exchangeable=alone_anywhere,
        )

    def _need(self, threshold: int, left: int) -> IntArray:
        """Return what fluid must be done with each ideal if so many stages are left; `FAR` where too much is left."""
        ideals = self.ideals
        over = ideals.held[-1] - ideals.held + self.most_held[-1] - self.most_held - left * self.capacity
        over = np.maximum(0, over)
        core = ideals.work[-1] - ideals.work + ideals.cut
        rest = ideals.weight[-1] - ideals.weight + ideals.cut + self.fluid - left * threshold
        if self.counted:
            rest -= np.minimum(left * self.capacity, ideals.available[-1] - ideals.spent)
        else:
            rest += over
        need = np.maximum(ideals.least, rest)
        late = core + self.most_work[-1] - self.most_work + over > left * threshold
        return np.where(late | (need > ideals.most), FAR, need)

    def _raise_bars(self, states: States) -> None:
        """Fill the bars with what is of use."""
        ideals, wanted = self.ideals, np.maximum(states.need, states.best + 1)
        useful = wanted <= ideals.most
        weight = ideals.weight + ideals.cut + wanted
        work = ideals.work + ideals.cut
        rows = (weight, weight - ideals.available, work, work + ideals.held, -ideals.least)
        for bar, row in zip(states.bars, rows, strict=True):
            bar[:] = least_above(self.tables.size_ptr, ideals.ptr, ideals.leads_to, np.where(useful, row, FAR))


class _Walk:
    """The loop, with what does not change from call to call; compiled as soon as there is much to do."""

    def __init__(self, ideals: CoreIdeals, nets: Nets, rules: StageRules, *, plain: bool) -> None:
        nodes, count = len(nets.node_ptr) - 1, len(nets.cost)
        self._rows = ([0] * nodes, [-1] * count, [0] * count, [0] * count, [[0] * 5 for _ in range(nodes + 1)])
        self._ideals, self._nets, self._rules = ideals, nets, rules
        self._left = None if plain else PLAIN_STEPS

    def lead_on(self, queue: IntArray, states: States) -> int:
        """Call the loop; return the steps that it took."""
        loop = compiled() if self._left is not None and self._left < 0 else None
        if loop is not None:
            return loop(queue, self._ideals, self._compiled[0], self._rules, states, self._compiled[1])
        lists = States(*(row.tolist() for row in states))
        steps = plain_loop(queue.tolist(), self._listed[0], self._nets, self._rules, lists, self._listed[1])
        for row, changed in zip(states[:-1], lists[:-1], strict=True):
            row[:] = changed
        if self._left is not None:
            self._left -= steps
        return steps

    @cached_property
    def _listed(self) -> tuple[CoreIdeals, CoreScratch]:
        return CoreIdeals(*(row.tolist() for row in self._ideals)), CoreScratch(*self._rows)

    @cached_property
    def _compiled(self) -> tuple[Any, Any]:
        return as_arrays(self._nets), as_arrays(CoreScratch(*self._rows))

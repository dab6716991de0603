"""Rule *core program*: some nodes become divisible, and k stages of the others leave too little room for them.

The nodes that do not become *fluid* are the *core*. Its ideals are few where those of all nodes are many. The checker
makes the core itself: the order of its nodes, what tensors cost among them, and what fluid may and must be done by the
time that an ideal of it is. docs/proofs.md proves that every partition at the threshold leads through what it follows.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from framework.proof.cores.core import MOST_COSTS, held_by, make_core, total_of
from framework.proof.cores.nets import nets_between
from framework.proof.cores.prices import Fluid, Kind, Walk
from framework.proof.cores.tables import IntArray, Tables, tables_of
from framework.proof.cores.tolls import Counted, Units, units_of
from framework.proof.cores.walk import FAR, States
from framework.proof.ideals import least_above
from framework.proof.problem import PlainProblem, RefusedError

NOTHING, ALL, SOME = range(3)
"""Whose parameters are counted beside work."""
BARS = 5
"""Rows of `States.bars`."""
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
    weights: Sequence[int],
    chains: Sequence[Sequence[int]],
    units: Sequence[Sequence[int]],
    common: Sequence[int],
    by_unit: bool,
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
    weights
        Where there are several kinds of devices, what work counts on each, and then what parameters do.
    chains
        Equal nodes of the core that only their numbers in each stage count of.
    units, common, by_unit
        Trees of fluid nodes with a toll, the ends of a tensor that feeds them, and whether each pays a toll of its own.
    plain
        Whether not to compile anything.

    Raises
    ------
    RefusedError
        If so many stages of that cost have room for all that is fluid, or there are too many ideals.
    """
    if threshold < 0:
        return threshold + 1, "no stage costs less than 0"
    if backwards and units:
        raise RefusedError("tolls are counted forwards")
    order = list(order) or list(range(problem.n))
    core = make_core(problem, order, fluid, backwards, chains)
    held = held_by(problem, set(core.nodes).difference(core.chained), order, core.fluid)
    tolls = units_of(problem, core, units, common)
    nets = nets_between(problem, order, core.fluid + core.chained, tolls.spared if tolls else ())
    counting = Counting(counted, frozenset(some), grain, tuple(weights), by_unit)
    program = Program(tables_of(held, core, nets), counting, tolls, backwards=backwards)
    reached = program.run(threshold, plain)
    if reached is not None:
        raise RefusedError(f"{reached} stages of cost at most {threshold} may hold all nodes, some of them in parts")
    ideals = len(program.tables.members)
    words = f"{len(core.fluid)} of {problem.n} nodes in parts, {ideals} ideals, {program.steps} extensions"
    return threshold + 1, words


class Counting(NamedTuple):
    """What counts beside work, as in `core_program`."""

    counted: int
    some: frozenset[int]
    grain: int
    weights: tuple[int, ...] = ()
    by_unit: bool = False


class Program:
    """The stages that lead from one ideal of a core to another, and what fluid they have room for.

    Parameters
    ----------
    counting
        What the weight of a node is.
    units
        What has tolls, if anything.
    backwards
        Whether the devices come in the opposite order.

    Raises
    ------
    RefusedError
        If nothing is counted so.
    """

    def __init__(
        self, tables: Tables, counting: Counting, units: Units | None = None, *, backwards: bool = False
    ) -> None:
        problem, fluid = tables.problem, tables.core.fluid
        self.total, self.tables, self.counting, self.steps = total_of(problem), tables, counting, 0
        self.stages = problem.filled
        kind_of = list(problem.kind_of) or [0] * self.stages
        self.kind_of = kind_of[::-1] if backwards else kind_of
        self.kinds = self._kinds_of(problem)
        weights = _least(kind.weights(fluid) for kind in self.kinds)
        tolls = Counted(tables, units, weights, [kind.work for kind in self.kinds], by_unit=counting.by_unit)
        weights = [w - w % counting.grain + more for w, more in zip(weights, tolls.extra, strict=True)]
        self.fluid = sum(weights)
        done = tables.may(weights), tables.must(weights), tables.must(tolls.extra)
        self._fluid = Fluid(weights, *done, tolls.rules[0])
        for i, kind in enumerate(self.kinds):
            kind.gather(tables, [costs[i] for costs in tables.net_costs], self._fluid._replace(tolls=tolls.rules[i]))
        self.exchangeable = len(self.kinds) == 1 and counting.counted != SOME and not tolls.rules[0].rate
        # Where stages are alike, what all that is left beyond an ideal does and holds counts, too.
        self._work_beyond = _from_the_end(tables.may([problem.work[v] for v in fluid]))
        held = _from_the_end(tables.may([problem.parameters[v] for v in fluid]))
        self._held_beyond = held + tables.held_beyond([q.cost for q in problem.shared])
        self._rests: dict[frozenset[int], IntArray] = {}
        self._mosts: dict[frozenset[int], IntArray] = {}

    def _kinds_of(self, problem: PlainProblem) -> list[Kind]:
        """Return the kinds of devices, with what work and parameters count on each."""
        counted, some, grain, weights, by_unit = self.counting
        known = counted in (NOTHING, ALL, SOME) and all(0 <= v < problem.n for v in some) and 1 <= grain <= MOST_COSTS
        if not known or (by_unit and grain > 1):
            raise RefusedError("what is counted is not given as it should be")
        kinds, whose = len(problem.kinds), some if counted == SOME else None
        if not kinds and not weights:
            return [Kind(problem, 1, int(counted != NOTHING), whose)]
        speeds, streams = weights[:kinds], weights[kinds:]
        if (
            counted == ALL
            or len(streams) != kinds
            or not all(0 <= y <= z for z, y in zip(speeds, streams, strict=True))
        ):
            raise RefusedError("work and parameters have one weight each for each kind of device")
        if max(speeds) * self.total > 1 << 59:
            raise RefusedError("the costs are too large for 64 bits")
        return [Kind(kind, z, y, whose) for kind, z, y in zip(problem.kinds, speeds, streams, strict=True)]

    def run(self, threshold: int, plain: bool) -> int | None:
        """Return how many stages of cost at most the threshold have room for everything; None if all have not."""
        threshold = min(threshold, self.total)
        if self._need(threshold, 0)[0] > 0:
            return None
        walks = _Pass(self, threshold, plain=plain, exchangeable=self.exchangeable)
        for level in range(1, self.stages + 1):
            self.steps += walks.one_more_stage(self.kind_of[level - 1], self._need(threshold, level))
            if walks.states.best[-1] >= self.fluid:
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
        if self._need(threshold, 0)[0] > 0:
            return None
        walks, found, left = _Pass(self, threshold, plain=plain, exchangeable=False), list[IntArray](), most_steps
        for level in range(1, self.stages):
            need = np.maximum(self._need(threshold, level), floors[level - 1])
            left -= walks.one_more_stage(self.kind_of[level - 1], need, left)
            found.append(np.where(walks.states.best >= need, walks.states.best, -1))
            if not (found[-1] >= 0).any():
                return None
        return found

    def _need(self, threshold: int, done: int) -> IntArray:
        """Return what fluid must be done with each ideal after so many stages; `FAR` where too much is left."""
        left = [self.kinds[i] for i in self.kind_of[done:]]
        ideals, first = self.kinds[0].ideals, self.kinds[0]
        room = min(FAR, sum(kind.work * threshold for kind in left))
        counted = min(FAR, sum(kind.streams * kind.capacity for kind in left))
        among = frozenset(self.kind_of[done:] or self.kind_of)
        need = self._beyond(among) + self.fluid - room
        need -= counted if self.counting.counted != SOME else np.minimum(counted, self._most_held(among))
        late = np.zeros(len(need), np.bool_)
        if len(self.kinds) == 1 and first.work == 1:
            over = np.maximum(0, _from_the_end(ideals.held) + self._held_beyond - len(left) * first.capacity)
            late = _from_the_end(ideals.work) + ideals.cut + self._work_beyond + over > room
            if not first.streams:
                need += over
        need = np.maximum(ideals.least, need)
        return np.where(late | (need > ideals.most), FAR, need)

    def _beyond(self, among: frozenset[int]) -> IntArray:
        """Return what the core and its nets weigh beyond each ideal, on the cheapest of some kinds of devices."""
        if among not in self._rests:
            kinds, tables = [self.kinds[i] for i in among], self.tables
            inside = tables.over_nodes(_least(kind.weights(tables.core.nodes) for kind in kinds)) - self._fluid.beside
            rest = _from_the_end(inside) + tables.cut(_least(kind.priced.nets.cost for kind in kinds))
            self._rests[among] = rest + tables.held_beyond(_least(kind.shared() for kind in kinds))
        return self._rests[among]

    def _most_held(self, among: frozenset[int]) -> IntArray:
        """Return what counts of the parameters that may be beyond each ideal, at most; shared ones for each user."""
        if among not in self._mosts:
            kinds, tables = [self.kinds[i] for i in among], self.tables
            nodes, shared = (
                tables.core.nodes,
                [max(row) for row in zip(*(kind.shared() for kind in kinds), strict=True)],
            )
            own = [max(row) for row in zip(*(kind.extra(nodes) for kind in kinds), strict=True)]
            beside = [max(row) for row in zip(*(kind.extra(tables.core.fluid) for kind in kinds), strict=True)]
            for q, parameter in enumerate(tables.problem.shared):
                own = [have + shared[q] * (v in parameter.users) for v, have in zip(nodes, own, strict=True)]
            rest = _from_the_end(tables.over_nodes(own))
            self._mosts[among] = rest + sum(beside) - tables.must(beside)
        return self._mosts[among]

    def raise_bars(self, kind: Kind, states: States) -> None:
        """Fill the bars with what is of use."""
        ideals, wanted = kind.ideals, np.maximum(states.need, states.best + 1)
        useful = wanted <= ideals.most
        weight = ideals.weight + ideals.cut + wanted
        work = ideals.work + ideals.cut
        rows = (weight, weight - ideals.available, work, work + ideals.held, -ideals.least)
        for bar, row in zip(states.bars, rows, strict=True):
            bar[:] = least_above(self.tables.size_ptr, ideals.ptr, ideals.leads_to, np.where(useful, row, FAR))


class _Pass:
    """The states of a program, from stage to stage."""

    def __init__(self, program: Program, threshold: int, *, plain: bool, exchangeable: bool) -> None:
        self._program, count = program, len(program.tables.members)
        grain = program.counting.grain
        self._walks = [
            Walk(kind.priced, kind.rules(threshold, grain, exchangeable=exchangeable), plain=plain)
            for kind in program.kinds
        ]
        # With what each kind of device has led on from each ideal: with no more it leads to nothing new.
        self._seen = [np.full(count, -1) for _ in program.kinds]
        value, hurdle, need, best, new_hurdle = (np.full(count, -1) for _ in range(5))
        self.states = States(value, hurdle, need, best, new_hurdle, np.zeros((BARS, count), np.int64))
        self.states.best[0] = 0

    def one_more_stage(self, kind: int, need: IntArray, most_steps: int = FAR) -> int:
        """Lead on from all ideals that the stages so far led to; return the steps that it took.

        Raises
        ------
        TooLongError
            If it takes more steps.
        """
        states, priced = self.states, self._program.kinds[kind]
        ideals, seen = priced.ideals, self._seen[kind]
        queue = np.flatnonzero(states.best > seen)
        seen[:] = states.best
        states.value[:], states.hurdle[:], states.need[:] = states.best, states.new_hurdle, need
        states.new_hurdle[:] = -1
        # What promises most comes first: the better what is known, the less is of use.
        queue = queue[np.argsort(-(states.best + ideals.weight + ideals.cut)[queue], kind="stable")]
        taken, limit = 0, REFILL * len(ideals.nodes)
        since = limit
        for at in range(0, len(queue), A_CALL):
            if since >= limit:
                self._program.raise_bars(priced, states)
                since = 0
            steps = self._walks[kind].lead_on(queue[at : at + A_CALL], states)
            since += steps
            taken += steps
            if taken > most_steps:
                raise TooLongError
        return taken


def _least(rows: Iterable[Sequence[int]]) -> list[int]:
    """Return the least of each column."""
    return [min(column) for column in zip(*rows, strict=True)]


def _from_the_end(row: IntArray) -> IntArray:
    """Return what each ideal lacks of all."""
    missing: IntArray = row[-1] - row
    return missing

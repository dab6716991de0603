"""The chain relaxation: a dynamic program over the ideals of a core decides a threshold T; other nodes are divisible.

Take a partition into k stages of cost at most T. Let J_b be the core nodes of its first b stages, an ideal of the
core, and y_b the work of the fluid nodes there. With I = J_(b-1), J = J_b and the core and its nets
(`framework.structure.fluid.core`), stage b costs at least its cost in the core plus the work of its fluid:

    f(core, I -> J) + y_b - y_(b-1) <= T,      Mn(J) <= y_b <= Mx(J),      y_0 = 0,  y_k = X,             (1)

where X is the work of all fluid, Mx(J) that of the nodes whose core ancestors all lie in J, and Mn(J) that of the
nodes with a core descendant in J. Let Y_b(J) be the largest y_b that (1) allows with f(core, I -> J) <= T. By
induction y_b <= Y_b(J_b), as the right side of y_b <= min(Mx(J), y_(b-1) + T - f) grows with y_(b-1). So if no chain
reaches Y_k = X at the whole core, T is refuted. A stage may hold fluid only (J = I, f = 0). Without fluid this is
the program of `framework.structure.ideals.chain_dp`, state by state.

*Parameters.* Let p_C be those of the nodes of any set C: a stage pays at least p_C - min(p_C, capacity) for overflow.
Hence variants that count a = w + p_C against T + min(p_C, capacity), in place of work w against T, with C nothing,
everything, or the sections of `framework.structure.fluid.memory_bound`. Any refutation counts. With nothing counted,
the overflow of the core alone is added. With sections, p_C of a stage is at most what may be done by its end less what
must be done by its start; with everything it is not looked at. What a stage costs in the core, with its overflow, and
the work of its fluid keep to T in all variants; as a is at most `rate` times w for each fluid node, so they are in a
sum, and the fluid of a stage weighs at most rate times the cost left. A stage cannot weigh more than all costs
together, so T + capacity is cut off there, which keeps all products with k inside int64.

*Whole nodes.* Further variants round the weights of fluid nodes, and the room of each stage for them, down to multiples
of a weight that many nodes have (`framework.structure.fluid.variants`).

*Separation costs (tolls).* Some tensors are in no net. They bound from below the cost of running fluid nodes in another
stage than the first one that needs them (`framework.structure.fluid.tolls.separation_costs`). So the more the fluid
work of a stage I -> J differs from what the stage needs, the less fluid work fits into it. The largest amount that fits
takes the place of T - f in (1). It depends on I and J only, like f, and is at most T - f, so the following arguments
hold with separation costs too. So they do in variants in which *ties* of fluid nodes to core nodes limit what a stage
runs (`framework.structure.fluid.tolls.ties`).

*Pruning.* Y_b(J) is useful only if the remaining nodes fit into the remaining k - b stages, which pay for every
crossing net at least once: a(V - J) + cut(J) + X - Y + (overflow that even all of them have) <= (k - b) T. This limit,
Mn(J), and the best value of J so far make a least useful value need(J). A walk from (I, Y), as in
`framework.structure.ideals.chain_dp`, only adds to in + done. Along it, J is reached with a useful value only if

    in + done <= Y + T + a(I) + cut(I) - [a(J) + cut(J) + need(J)],

so the least bracket over all ideals above an ideal ends the walk there; likewise for the limit T on the core's own
cost. These minima are one sweep over the lattice, repeated as values rise.

*Dominance.* A value for J counts only if it is larger than all with fewer stages. A stage of fluid alone before a
stage I -> J can be exchanged with it (Mx grows with J), unless Y + T - f < Mn(J) forbids that. So a state that is only
carried on by a stage of fluid is extended just to ideals J with Mn(J) > Y. If sections are counted, or separation costs
or ties are paid, a stage of fluid may hold less in another place, so all states are extended.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL
from framework.structure.bit_sets import which_are_in
from framework.structure.fluid import ideal_table as rows
from framework.structure.fluid import kernels
from framework.structure.fluid.core import FluidCore, incidence
from framework.structure.fluid.fact_tables import FactTables
from framework.structure.fluid.ideal_table import Limits, Nets, weight_rate
from framework.structure.fluid.variants import PLAIN, Counted, Variant
from framework.structure.ideals.lattice import IdealLattice
from framework.structure.poset.closure import BoolArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FluidPlan:
    """What is not refuted: a place for the core, and how much fluid is done by the end of each stage.

    Attributes
    ----------
    stage_of_core
        ``[core]`` the stage of each core node.
    fluid_done
        ``[stages]`` fluid weight done by the end of each stage, at most, in ticks.
    """

    stage_of_core: IntArray
    fluid_done: IntArray


NO_PREFIXES, NOTHING = np.zeros((2, 0), np.int64), np.zeros(0, np.int64)


class Reached(NamedTuple):
    """The ideals that the first stages may hold, and the most fluid done with them, in ticks; both ``[states]``."""

    ideals: IntArray
    values: IntArray


class FluidSearch:
    """Decides thresholds on one core and its complete lattice.

    Parameters
    ----------
    crowded
        ``[n]`` the nodes whose parameters the variants of crowded nodes count; without it there are none.
    further
        Variants beside the basic ones, of whole nodes or with tolls per unit (`framework.structure.fluid.variants`).

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck while the facts were being gathered.

    Attributes
    ----------
    crowded
        As given.
    variants
        Those that can refute; the basic ones first.
    """

    def __init__(
        self,
        core: FluidCore,
        lattice: IdealLattice,
        crowded: BoolArray | None = None,
        further: Sequence[Variant] = (),
        *,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if not lattice.complete:
            raise ValueError("only a complete lattice can decide anything")
        self.core, self.lattice, self.crowded = core, lattice, crowded
        self._capacity = core.instance.bounded_capacity
        pin_nets = np.repeat(np.arange(len(core.net_cost), dtype=np.int64), np.diff(core.net_ptr))
        # A head is never in the stage of a net that comes in.
        heads = np.zeros(len(pin_nets), np.bool_)
        heads[core.net_ptr[:-1][core.headed]] = True
        entering = incidence(core.net_pins[~heads], pin_nets[~heads], core.order.n)
        self._graph = kernels.graph_of(lattice.arrays, Nets(core.net_cost, core.net_ptr, core.net_pins, *entering))
        self._tables = FactTables(core, lattice, crowded, further, should_stop)
        self.variants = self._tables.variants
        self._states = States(lattice)

    @property
    def steps(self) -> int:
        """Extensions walked so far, over all decisions."""
        return self._states.steps

    def decide(
        self, stages: int, threshold: int, should_stop: Callable[[], bool], *, variant: Variant = PLAIN
    ) -> FluidPlan | None:
        """Return a plan into at most `stages` stages of cost at most `threshold`, or None: then there is no partition.

        Parameters
        ----------
        variant
            What is counted, one of `variants`.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first; then nothing is known.
        """
        if threshold < 0:
            return None
        facts = self._tables.of(variant)
        tolled = variant.by_unit or self._tables.tolls[variant.counted][0]
        exchangeable = variant.counted != Counted.CROWDED and not tolled and not variant.tied
        limits = self._limits(threshold, variant, exchangeable=exchangeable)
        levels = [first_level()]
        if not self._begin(facts, limits, stages):
            return None
        alone = rows.fluid_after_all(facts, limits)
        for stage in range(stages):
            left = stages - stage
            last = kernels.finishing_state(facts, limits, levels[-1], (left - 1) * alone, NOTHING, NOTHING)
            if last >= 0:
                return plan_of(self.core, self.lattice, levels, last, stages, limits.fluid)
            if left == 1 or not len(levels[-1].ideals):
                return None
            kernels.fill_need(facts, limits, left - 1, self._states.need)
            levels.append(self._states.level(facts, limits, self._graph, levels[-1], should_stop))
        return None

    def reach(
        self,
        stages: int,
        threshold: int,
        should_stop: Callable[[], bool],
        *,
        variant: Variant = PLAIN,
        floors: Sequence[IntArray] = (),
    ) -> list[Reached] | None:
        """Return what the first 1, ..., ``stages - 1`` stages may hold in any partition of cost at most `threshold`.

        For each partition into `stages` stages, the core nodes of its first b stages are among the ideals of the b-th
        list, with a value of at least the weight of its fluid there. None: there is no such partition.

        Parameters
        ----------
        floors
            ``[stages - 1][ideals]`` only larger values than these are of use; `framework.structure.fluid.kernels.NEVER`
            where none is.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first.
        """
        if threshold < 0:
            return None
        facts = self._tables.of(variant)
        limits = self._limits(threshold, variant, exchangeable=False)
        level, states = first_level(), self._states
        if not self._begin(facts, limits, stages):
            return None
        reached = []
        for b in range(1, stages):
            kernels.fill_need(facts, limits, stages - b, states.need)
            if floors:
                np.maximum(states.need, floors[b - 1], out=states.need)
            if len(level.ideals):
                level = states.level(facts, limits, self._graph, level, should_stop)
            # States of fewer stages count as well: a stage may be empty.
            useful = np.flatnonzero(states.best >= states.need)
            if not len(useful):
                return None
            reached.append(Reached(ideals=useful, values=states.best[useful]))
        return reached

    def fluid_weight(self, variant: Variant) -> int:
        """Return the weight of all fluid, in ticks, as the variant counts it."""
        return int(self._tables.weights(variant).sum())

    def _limits(self, threshold: int, variant: Variant, *, exchangeable: bool) -> Limits:
        threshold = min(threshold, MAX_TOTAL)
        toll, unit, feeding = self._tables.tolls[variant.counted]
        apart = variant.counted == Counted.WORK
        return Limits(
            threshold=threshold,
            allowance=0 if apart else min(MAX_TOTAL - threshold, self._capacity),
            capacity=self._capacity,
            fluid=self.fluid_weight(variant),
            apart=apart,
            exchangeable=exchangeable,
            overflows=bool(self.core.instance.can_overflow),
            rate=weight_rate(self.core.instance.work[self.core.fluid], self._tables.weights(variant)),
            grain=variant.grain,
            toll=toll,
            unit=unit,
            feeding=int(self.core.feeding_cost) if variant.by_unit else feeding,
            factors=self._tables.ties(variant).factors if variant.tied else NOTHING,
            by_unit=variant.by_unit,
            prefixes=self._tables.unit_tolls(variant).prefixes if variant.by_unit else NO_PREFIXES,
        )

    def _begin(self, facts: IntArray, limits: Limits, stages: int) -> bool:
        """Get ready for a decision; return False if no stages of the kind can hold everything."""
        kernels.fill_need(facts, limits, stages, self._states.need)
        self._states.best.fill(-1)
        self._states.best[0] = 0
        return bool(self._states.need[0] <= 0)


class States:
    """What is known of each ideal in a decision, and the step from the states of some stages to those of one more.

    Attributes
    ----------
    need, best
        ``[ideals]`` the least useful value after the next stage, to be filled before the step; the best one so far.
    steps
        Extensions walked so far, over all decisions.
    """

    def __init__(self, lattice: IdealLattice) -> None:
        count = len(lattice)
        self._lattice = lattice.arrays
        self.need, self.best, self._slot = (np.empty(count, np.int64) for _ in range(3))
        self._least = np.empty((kernels.LEAST_ROWS, count), np.int64)
        self.steps = 0

    def level(
        self,
        facts: IntArray,
        limits: Limits,
        graph: kernels.Graph,
        level: kernels.Level,
        should_stop: Callable[[], bool],
        walked: BoolArray | None = None,
        held: kernels.Held | None = None,
    ) -> kernels.Level:
        """Return the states one stage further on.

        Parameters
        ----------
        walked
            Which states of the level to walk from, all if not given; the others are only carried on.
        held
            The shared parameters that count, if any do.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first.
        """
        self._slot.fill(-1)
        size = len(self.need)
        table = kernels.Table(facts, self.need, self.best, self._slot, self._least)
        new = kernels.Level(*(np.empty(size, np.int64) for _ in range(4)))
        counters = np.zeros(kernels.COUNTERS, np.int64)
        counters[kernels.FOUND] = kernels.carry(limits, table, level, new)
        first = int(level.ideals.min())
        counters[kernels.FIRST] = first
        counters[kernels.LAST] = kernels.fill_least(self._lattice, table, first, size - 1)
        promise = level.values + facts[rows.WEIGHT, level.ideals] + facts[rows.CUT, level.ideals]
        order = np.argsort(-promise, kind="stable")
        if walked is not None:
            order = order[walked[order]]
        complete, before = False, self.steps
        while not complete:
            complete = kernels.walk(limits, graph, table, level, new, order, counters, held)
            self.steps = before + int(counters[kernels.STEPS])
            if should_stop():
                raise OutOfTimeError("the decision was stopped")
        count = int(counters[kernels.FOUND])
        return kernels.Level(*(array[:count].copy() for array in new))


def plan_of(
    core: FluidCore, lattice: IdealLattice, levels: list[kernels.Level], last: int, stages: int, fluid: int
) -> FluidPlan:
    """Follow the states of all levels backwards from the one after which a stage takes all that is left of the core."""
    nodes = np.arange(core.order.n)
    stage_of = np.full(core.order.n, len(levels) - 1, np.int64)
    done = np.full(stages, fluid, np.int64)
    state = last
    for stage in range(len(levels) - 1, 0, -1):
        ideals, values, origins, _ = levels[stage]
        stage_of[which_are_in(lattice.bits[ideals[state]], nodes)] = stage - 1
        done[stage - 1] = values[state]
        state = int(origins[state])
    return FluidPlan(stage_of_core=stage_of, fluid_done=done)


def first_level() -> kernels.Level:
    """Return the one state of no stages: the empty ideal, with nothing done."""
    return kernels.Level(*(np.array([x], np.int64) for x in (0, 0, 0, -1)))

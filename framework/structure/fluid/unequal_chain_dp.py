"""The chain relaxation with different devices or shared parameters: one currency for fluid, a price for each stage.

Stage b runs on a device of kind d(b). The core is priced exactly: `framework.structure.fluid.core` proves that a stage
on d pays at least the nets that its core nodes cut, in the prices of d. Fluid nodes take a different time on each
device, so their work cannot be the state of the program. Their *weight* is instead: choose whole numbers
0 <= y_d <= z_d, and let a fluid node f weigh

    u(f)  =  min over all d of  a_d(f),      a_d = z_d w_d + y_d p_d.

Take a partition into stages of cost at most T, let J_b be the core nodes of the first b stages and Y_b the weight of
the fluid nodes there. Let I = J_(b-1), J = J_b, and S be all nodes of stage b, on d. Its cost in the core is
f_d(core, I -> J) = w_d + nets_d + max(0, p_d - C_d). As z_d max(0, x) >= y_d x,

    u(fluid of S)  <=  z_d T + y_d C_d - [z_d (w_d(J) - w_d(I) + nets_d) + y_d (p_d(J) - p_d(I))],               (1)
    u(fluid of S)  <=  max(u(f) / (z_d w_d(f))) z_d (T - f_d(core, I -> J)),                                      (2)

and with y_d = 0 the overflow of the core may be subtracted in (1) as well. So

    Mn(J) <= Y_b <= min(Mx(J), Y_(b-1) + the least right side),    Y_0 = 0,    Y_k = u(all fluid),

where Mx and Mn, in weights, do not depend on stages. This is the program of `framework.structure.fluid.chain_dp` with
other right sides: its induction holds word by word, since these depend on I, J and the stage only. In the kernels, all
prices of d are multiplied by z_d, and T, C_d and the allowance are z_d T, z_d C_d and y_d C_d. Whole-node variants
(`framework.structure.fluid.variants`) round u(f), and the right side, down to multiples of a grain.

*Shared parameters.* A stage holds a shared parameter once if one of its core nodes uses it (`held_by` in
`framework.structure.ideals.held`; no stage holds more than in truth). So p_d(J) - p_d(I) in (1) and (2) is what the
core nodes of the stage use alone, and what they hold, which grows along a walk as the nets that come in do. The
remaining stages hold at least what the core nodes beyond J do: min_D y_d of each such parameter adds to what is left
below.

*Pruning.* After stage b, let D be the devices of the stages left, or a larger set. Each node of the core beyond J is in
one of these stages, each net that crosses J is paid for by one of them, and the fluid left weighs u(all) - Y. So

    sum over the core beyond J of min_D a_d(v) + sum over crossing nets of min_D z_d cost_d + u(all) - Y
        <=  sum over the stages left of z_d T + y_d C_d,

which makes the least useful value of J; and in other weights, too, where all fluid beyond Mx(J) is still to come.

*States.* What is reached by b is reached by b + 1 with at least the same value, as a stage may stay empty. But a stage
of fluid alone cannot be exchanged with another one on a different device, and what one device cannot add to a state the
next one may. So all states are carried on to the next level, and each is walked from on each kind of device, but for
those that were walked from on the same kind with the same value before: by fewer stages what is useful is more.

*Backwards.* Read backwards (`framework.structure.fluid.reversal`), the devices of the stages come in the opposite
order. Nothing else changes, as what a stage costs does not depend on the direction of edges.

Where all stages are the same, but parameters are shared, this is the case of one kind of device. Tensors serve as nets
only, not as tolls. Source: this project; the weights are Lagrangian multipliers of the linear
program of unrelated machines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.shared import SharedParameters
from framework.structure.fluid import ideal_table as rows
from framework.structure.fluid import kernels
from framework.structure.fluid.chain_dp import (
    NO_PREFIXES,
    FluidPlan,
    Reached,
    States,
    first_level,
    plan_of,
)
from framework.structure.fluid.core import FluidCore, incidence
from framework.structure.fluid.fact_tables import before_and_after, most_and_least, net_cuts
from framework.structure.fluid.ideal_table import Limits, Nets, weight_rate
from framework.structure.fluid.variants import Variant
from framework.structure.ideals.held import Shared, unions
from framework.structure.ideals.lattice import IdealLattice
from framework.structure.primal.unrelated_machines import DeviceWeights
from framework.structure.unequal.stage_kinds import sets_left

_ABOVE_ALL = 1 << 61
"""More than any sum of weighted costs."""


class _Counts(NamedTuple):
    """What a variant counts: the weights of fluid nodes, Mx and Mn, and for each set of devices what lies beyond."""

    weight: IntArray
    most: IntArray
    least: IntArray
    beyond: list[IntArray]


class UnequalFluidSearch:
    """Decides thresholds on one core and its complete lattice, each stage on its own device.

    Parameters
    ----------
    device
        ``[stages]`` the kind of device of each stage, in the order in which the core is read.
    variants
        What is counted, with weights of devices each.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck while the facts were being gathered.

    Attributes
    ----------
    variants
        As given.
    """

    def __init__(
        self,
        core: FluidCore,
        lattice: IdealLattice,
        device: IntArray,
        variants: Sequence[Variant],
        *,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if not lattice.complete:
            raise ValueError("only a complete lattice can decide anything")
        self.core, self.lattice, self.variants = core, lattice, tuple(variants)
        self._device, self._should_stop = device.tolist(), should_stop
        self._priced_on = priced = core.instance.on_each_device()
        self._capacity = [row.bounded_capacity for row in priced]
        # No stage costs more.
        self._most = max(row.total_work + int(row.tensor_cost.sum()) + row.total_parameter_cost for row in priced)
        pin_nets = np.repeat(np.arange(len(core.net_cost), dtype=np.int64), np.diff(core.net_ptr))
        # A head is never in the stage of a net that comes in.
        heads = np.zeros(len(pin_nets), np.bool_)
        heads[core.net_ptr[:-1][core.headed]] = True
        entering = incidence(core.net_pins[~heads], pin_nets[~heads], core.order.n)
        self._graph = kernels.graph_of(lattice.arrays, Nets(core.net_cost, core.net_ptr, core.net_pins, *entering))
        nodes = core.nodes
        self._work = [lattice.sums(row.work[nodes]) for row in priced]
        self._parameters = [lattice.sums(row.parameter_cost[nodes]) for row in priced]
        self._cut = [net_cuts(core, lattice, costs, self._look) for costs in core.device_net_cost]
        self._shared = _shared_in(core)
        # What the nodes beyond each ideal hold, beside their own.
        self._held_beyond = [self._held(row.shared_cost) for row in priced]
        self._sets = sets_left(self._device)
        # The set of devices that the stages left after each number of stages are among.
        self._set_after = [
            max(i for i, left in enumerate(self._sets) if set(self._device[done:]) <= set(left))
            for done in range(len(self._device) + 1)
        ]
        self._fluid = before_and_after(core)
        self._counted: dict[Variant, _Counts] = {}
        self._facts = np.zeros((rows.PLAIN_FACTS, len(lattice)), np.int64)
        self._facts[rows.AVAILABLE] = rows.ANY_NUMBER
        self._states = States(lattice)
        for variant in self.variants:
            if variant.basic:
                self._counts(variant)

    @property
    def steps(self) -> int:
        """Extensions walked so far, over all decisions."""
        return self._states.steps

    def decide(
        self, stages: int, threshold: int, should_stop: Callable[[], bool], *, variant: Variant
    ) -> FluidPlan | None:
        """Return a plan into stages of cost at most `threshold`, or None: then there is no partition.

        Parameters
        ----------
        stages
            Number of stages: that of the devices.
        variant
            What is counted, one of `variants`.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first; then nothing is known.
        """
        limits = self._begin(stages, threshold, variant)
        if limits is None:
            return None
        alone = [_fitting(one, one.threshold + one.allowance, one.threshold) for one in limits]
        levels, seen = [first_level()], self._unseen()
        for stage, kind in enumerate(self._device):
            self._price(kind, variant)
            later = sum(int(alone[other]) for other in self._device[stage + 1 :])
            last = self._finishing(limits[kind], kind, variant, later, levels[-1])
            if len(last):
                return plan_of(self.core, self.lattice, levels, int(last[0]), stages, limits[kind].fluid)
            if stage + 1 == stages:
                break
            self._fill_need(stage + 1, threshold, variant)
            levels.append(self._level(limits[kind], levels[-1], seen[kind], variant, kind, should_stop))
            if not len(levels[-1].ideals):
                break
        return None

    def reach(
        self,
        stages: int,
        threshold: int,
        should_stop: Callable[[], bool],
        *,
        variant: Variant,
        floors: Sequence[IntArray] = (),
    ) -> list[Reached] | None:
        """Return what the first 1, ..., ``stages - 1`` stages may hold in any partition of cost at most `threshold`.

        See `framework.structure.fluid.chain_dp.FluidSearch.reach`; a floor must not fall from a stage to the next.

        Raises
        ------
        OutOfTimeError
            If `should_stop` struck first.
        """
        limits = self._begin(stages, threshold, variant)
        if limits is None:
            return None
        level, seen, reached = first_level(), self._unseen(), []
        for stage, kind in enumerate(self._device[:-1]):
            self._price(kind, variant)
            self._fill_need(stage + 1, threshold, variant)
            if floors:
                np.maximum(self._states.need, floors[stage], out=self._states.need)
            level = self._level(limits[kind], level, seen[kind], variant, kind, should_stop)
            if not len(level.ideals):
                return None
            order = np.argsort(level.ideals)
            reached.append(Reached(ideals=level.ideals[order], values=level.values[order]))
        return reached

    def fluid_weight(self, variant: Variant) -> int:
        """Return the weight of all fluid as the variant counts it."""
        return int(self._counts(variant).weight.sum())

    def _level(
        self,
        limits: Limits,
        level: kernels.Level,
        seen: IntArray,
        variant: Variant,
        kind: int,
        should_stop: Callable[[], bool],
    ) -> kernels.Level:
        """Return the states one stage further on, given the values with which this kind walked from each ideal."""
        fresh = level.values > seen[level.ideals]
        seen[level.ideals] = level.values
        self._states.best.fill(-1)
        z, y, held = _of(variant).work[kind], _of(variant).streams[kind], None
        nets = self._graph.nets._replace(cost=z * self.core.device_net_cost[kind])
        if len(self._shared.cost):
            cost = self._priced_on[kind].shared_cost
            memory = (np.zeros(count, np.int64) for count in (len(cost), self.core.order.n + 1, self.core.order.n + 1))
            held = kernels.Held(self._shared._replace(cost=z * cost, sizes=y * cost), *memory)
        graph = self._graph._replace(nets=nets)
        return self._states.level(self._facts, limits, graph, level, should_stop, fresh, held)

    def _finishing(self, limits: Limits, kind: int, variant: Variant, later: int, level: kernels.Level) -> IntArray:
        """Return the states from which one stage takes the rest of the core, and the stages after it the fluid left.

        The table of ideals has the prices of that stage; those after it run at most `later` of the fluid.
        """
        facts, here = self._facts, level.ideals
        cost, parameters, weight = (
            facts[row, -1] - facts[row, here] for row in (rows.WORK, rows.PARAMETERS, rows.WEIGHT)
        )
        paid, beyond = facts[rows.CUT, here], self._held_beyond[kind][here]
        over = np.maximum(0, parameters + _of(variant).work[kind] * beyond - limits.capacity)
        cost += paid + over
        weight += paid + (over if limits.apart else _of(variant).streams[kind] * beyond)
        room = limits.threshold + limits.allowance - weight
        values = level.values + _fitting(limits, room, limits.threshold - cost)
        ends = (cost <= limits.threshold) & (room >= 0)
        ends &= (values >= facts[rows.LEAST, -1]) & (values + min(later, limits.fluid) >= limits.fluid)
        return np.flatnonzero(ends)

    def _unseen(self) -> dict[int, IntArray]:
        return {kind: np.full(len(self.lattice), -1, np.int64) for kind in set(self._device)}

    def _begin(self, stages: int, threshold: int, variant: Variant) -> list[Limits] | None:
        """Return the limits of each kind of device; None if all stages together cannot hold everything."""
        if stages != len(self._device):
            raise ValueError(f"{stages} stages on {len(self._device)} devices")
        if threshold < 0:
            return None
        counts = self._counts(variant)
        self._facts[rows.MOST], self._facts[rows.LEAST] = counts.most, counts.least
        self._fill_need(0, threshold, variant)
        if self._states.need[0] > 0:
            return None
        threshold, fluid, weights = min(threshold, self._most), self.core.fluid, _of(variant)
        return [
            Limits(
                threshold=z * threshold,
                allowance=y * capacity,
                capacity=z * capacity,
                fluid=int(counts.weight.sum()),
                apart=y == 0,
                exchangeable=False,
                overflows=row.can_overflow,
                rate=weight_rate(z * row.work[fluid], counts.weight),
                grain=variant.grain,
                toll=0,
                unit=0,
                feeding=0,
                by_unit=False,
                prefixes=NO_PREFIXES,
            )
            for z, y, capacity, row in zip(weights.work, weights.streams, self._capacity, self._priced_on, strict=True)
        ]

    def _price(self, kind: int, variant: Variant) -> None:
        """Fill the table of ideals with the prices of a kind of device."""
        weights, facts = _of(variant), self._facts
        np.multiply(self._work[kind], weights.work[kind], out=facts[rows.WORK])
        np.multiply(self._parameters[kind], weights.work[kind], out=facts[rows.PARAMETERS])
        np.multiply(self._cut[kind], weights.work[kind], out=facts[rows.CUT])
        np.multiply(self._parameters[kind], weights.streams[kind], out=facts[rows.WEIGHT])
        facts[rows.WEIGHT] += facts[rows.WORK]

    def _fill_need(self, done: int, threshold: int, variant: Variant) -> None:
        """Fill the least useful value of each ideal after so many stages; NEVER where there is none."""
        need, counts = self._states.need, self._counts(variant)
        np.add(counts.beyond[self._set_after[done]], int(counts.weight.sum()), out=need)
        need -= self._affordable(done, threshold, _of(variant))
        np.maximum(need, counts.least, out=need)
        never = need > counts.most
        for test in self.variants:
            if test.basic:
                other = self._counts(test)
                rest = other.beyond[self._set_after[done]] + (int(other.weight.sum()) - other.most)
                never |= rest > self._affordable(done, threshold, _of(test))
        need[never] = kernels.NEVER

    def _affordable(self, done: int, threshold: int, weights: DeviceWeights) -> int:
        """Return what the stages after so many can hold in some weights."""
        each = [
            z * min(threshold, self._most) + y * capacity
            for z, y, capacity in zip(weights.work, weights.streams, self._capacity, strict=True)
        ]
        total: int = sum(each[kind] for kind in self._device[done:])
        return min(_ABOVE_ALL, total)

    def _counts(self, variant: Variant) -> _Counts:
        """Return what a variant counts, gathered when it is first asked for."""
        if variant not in self._counted:
            core, weights = self.core, _of(variant)
            each, held = [], []
            for z, y, row in zip(weights.work, weights.streams, self._priced_on, strict=True):
                each.append(z * row.work + y * row.parameter_cost)
                held.append(y * row.shared_cost)
            weight = np.stack(each)[:, core.fluid].min(0)
            weight -= weight % variant.grain
            speed, beyond = np.array(weights.work, np.int64)[:, None], []
            for left in self._sets:
                inside = self.lattice.sums(np.stack(each)[left][:, core.nodes].min(0))
                crossing = net_cuts(core, self.lattice, (speed * core.device_net_cost)[left].min(0), self._look)
                beyond.append(inside[-1] - inside + crossing + self._held(np.stack(held)[left].min(0)))
            most, least = most_and_least(core, self.lattice, self._fluid, weight[None], self._look)
            self._counted[variant] = _Counts(weight, most[0], least[0], beyond)
        return self._counted[variant]

    def _held(self, sizes: IntArray) -> IntArray:
        """Return what the core nodes beyond each ideal hold of shared parameters of given sizes, ``[ideals]``."""
        return unions(self.lattice, self._shared, np.zeros(len(self.lattice), np.int64), sizes).outside

    def _look(self) -> None:
        if self._should_stop():
            raise OutOfTimeError("stopped while the facts of the ideals were being gathered")


def needs_prices(instance: Instance) -> bool:
    """Whether stages are unequal or parameters shared: `framework.structure.fluid.chain_dp` knows neither."""
    return instance.unequal is not None or len(instance.shared) > 0


def stage_devices(instance: Instance, stages: int) -> IntArray:
    """Return the kind of device of each stage, ``[stages]``: all the same where stages are equal."""
    return np.zeros(stages, np.int64) if instance.unequal is None else instance.unequal.device


def _shared_in(core: FluidCore) -> Shared:
    """Return the shared parameters of a core, whose nodes are numbered as in `order`."""
    number = np.zeros(core.instance.n, np.int64)
    number[core.nodes] = np.arange(len(core.nodes))
    shared, cost = core.instance.shared, core.instance.shared_cost
    here = SharedParameters(ptr=shared.ptr, users=number[shared.users])
    return Shared(*here.of_nodes(core.order.n), here.ptr, here.users, cost, cost)


def _fitting(limits: Limits, room: IntArray | int, cost_left: IntArray | int) -> IntArray:
    """Return the most fluid that fits into so much room, given the cost left, in whole grains."""
    whole = np.asarray(room - room % limits.grain)
    if not np.isfinite(limits.rate):
        return whole
    by_cost = np.maximum(cost_left, 0) * limits.rate
    lower = by_cost < whole
    return np.where(lower, np.where(lower, by_cost, 0).astype(np.int64), whole)


def _of(variant: Variant) -> DeviceWeights:
    assert variant.devices is not None
    return variant.devices

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

*Crowded sections.* With C any set of nodes, a_d may count p_d of the nodes in C alone, and of the shared parameters
that only they use: p_C,d. As z_d max(0, p_d(S) - C_d) >= y_d (p_C,d(S) - min(p_C,d(S), C_d)), the allowance y_d C_d in
(1) becomes the lesser of that and y_d p_C,d(S); and this is at most what may lie below J less what must lie below I,
with what the core nodes of the stage hold of shared parameters. All stages left together are allowed no more than max_D
y_d p_C,d of everything that may lie beyond J, a shared parameter as often as it has users there.

*Separation costs.* What a stage on d pays for the units that it cuts
(`framework.structure.fluid.tolls.separation_costs`) is a part of its cost as its nets are: z_d times that is subtracted
from the right side of (1). Fluid is owned, moved and left in its weights u, so all that is said there of one stage
holds for a stage on d, with the room that (1) gives it; the same goes for tolls per unit
(`framework.structure.fluid.tolls.tolls_per_unit`), where u grows by a part of the least of z_d c_d. The room depends on
I, J and the device only, so nothing changes in what follows, but that all that is left beyond J weighs less by the
tolls of what is owned beyond.

*Pruning.* After stage b, let D be the devices of the stages left, or a larger set. Each node of the core beyond J is in
one of these stages, each net that crosses J is paid for by one of them, and the fluid left weighs u(all) - Y. So

    sum over the core beyond J of min_D a_d(v) + sum over crossing nets of min_D z_d cost_d + u(all) - Y
        <=  sum over the stages left of z_d T + y_d C_d,

which makes the least useful value of J. With equal stages the weights of other variants limit what is left, too, where
all fluid beyond Mx(J) is still to come.

*States.* What is reached by b is reached by b + 1 with at least the same value, as a stage may stay empty. But a stage
of fluid alone cannot be exchanged with another one on a different device, and what one device cannot add to a state the
next one may. So all states are carried on to the next level, and each is walked from on each kind of device, but for
those that were walked from on the same kind with the same value before: by fewer stages what is useful is more.

*Backwards.* Read backwards (`framework.structure.fluid.reversal`), the devices of the stages come in the opposite
order. Nothing else changes, as what a stage costs does not depend on the direction of edges.

Where all stages are the same, but parameters are shared, this is the case of one kind of device.

Source: this project; the weights are Lagrangian multipliers of the linear program of unrelated machines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.fluid import ideal_table as rows
from framework.structure.fluid import kernels
from framework.structure.fluid.chain_dp import FluidPlan, Reached, States, first_level, plan_of
from framework.structure.fluid.core import FluidCore, incidence
from framework.structure.fluid.device_tables import DeviceTables, weights_of
from framework.structure.fluid.ideal_table import Limits, Nets
from framework.structure.fluid.variants import Variant
from framework.structure.ideals.lattice import IdealLattice
from framework.structure.poset.closure import BoolArray


class UnequalFluidSearch:
    """Decides thresholds on one core and its complete lattice, each stage on its own device.

    Parameters
    ----------
    device
        ``[stages]`` the kind of device of each stage, in the order in which the core is read.
    variants
        What is counted, with weights of devices each.
    crowded
        ``[n]`` the nodes whose parameters the variants of crowded nodes count.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck while the facts were being gathered.

    Attributes
    ----------
    variants, crowded
        As given.
    """

    def __init__(
        self,
        core: FluidCore,
        lattice: IdealLattice,
        device: IntArray,
        variants: Sequence[Variant],
        crowded: BoolArray | None = None,
        *,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if not lattice.complete:
            raise ValueError("only a complete lattice can decide anything")
        self.core, self.lattice, self.variants, self.crowded = core, lattice, tuple(variants), crowded
        self._device: list[int] = device.tolist()
        pin_nets = np.repeat(np.arange(len(core.net_cost), dtype=np.int64), np.diff(core.net_ptr))
        # A head is never in the stage of a net that comes in.
        heads = np.zeros(len(pin_nets), np.bool_)
        heads[core.net_ptr[:-1][core.headed]] = True
        entering = incidence(core.net_pins[~heads], pin_nets[~heads], core.order.n)
        self._graph = kernels.graph_of(lattice.arrays, Nets(core.net_cost, core.net_ptr, core.net_pins, *entering))
        self._tables = DeviceTables(core, lattice, self._device, crowded, should_stop)
        self._states = States(lattice)
        for variant in self.variants:
            if variant.basic:
                self._tables.of(variant)

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
        alone = {kind: self._after_all(limits[kind], kind, variant) for kind in set(self._device)}
        levels, seen = [first_level()], self._unseen()
        for stage, kind in enumerate(self._device):
            self._tables.price(kind, variant)
            later = min(limits[kind].fluid, sum(alone[other] for other in self._device[stage + 1 :]))
            held = self._tables.held_by_the_rest(kind, variant)
            last = kernels.finishing_state(self._tables.facts, limits[kind], levels[-1], later, *held)
            if last >= 0:
                return plan_of(self.core, self.lattice, levels, last, stages, limits[kind].fluid)
            if stage + 1 == stages:
                break
            self._tables.fill_need(stage + 1, threshold, variant, self._states.need)
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
            self._tables.price(kind, variant)
            self._tables.fill_need(stage + 1, threshold, variant, self._states.need)
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
        return int(self._tables.of(variant).weight.sum())

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
        nets = self._graph.nets._replace(cost=weights_of(variant).work[kind] * self.core.device_net_cost[kind])
        graph, held = self._graph._replace(nets=nets), self._tables.held_on(kind, variant)
        return self._states.level(self._tables.facts, limits, graph, level, should_stop, fresh, held)

    def _after_all(self, limits: Limits, kind: int, variant: Variant) -> int:
        """Return the most fluid that a stage after the whole core runs on a kind of device."""
        self._tables.price(kind, variant)
        return int(rows.fluid_after_all(self._tables.facts, limits))

    def _unseen(self) -> dict[int, IntArray]:
        return {kind: np.full(len(self.lattice), -1, np.int64) for kind in set(self._device)}

    def _begin(self, stages: int, threshold: int, variant: Variant) -> list[Limits] | None:
        """Return the limits of each kind of device; None if all stages together cannot hold everything."""
        if stages != len(self._device):
            raise ValueError(f"{stages} stages on {len(self._device)} devices")
        if threshold < 0:
            return None
        self._tables.begin(variant)
        self._tables.fill_need(0, threshold, variant, self._states.need)
        return None if self._states.need[0] > 0 else self._tables.limits(threshold, variant)


def stage_devices(instance: Instance, stages: int) -> IntArray:
    """Return the kind of device of each stage, ``[stages]``: all the same where stages are equal."""
    return np.zeros(stages, np.int64) if instance.unequal is None else instance.unequal.device

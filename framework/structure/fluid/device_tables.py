"""The tables of `framework.structure.fluid.ideal_table` where stages have prices of their own, filled for each of them.

What is counted does not depend on the stage: the weights of fluid nodes, what may and must be done, what is owned. What
the core costs, what a toll is, and what a stage has room for go by its device
(`framework.structure.fluid.unequal_chain_dp`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.shared import SharedParameters
from framework.structure.fluid import ideal_table as rows
from framework.structure.fluid.chain_dp import NO_PREFIXES, NOTHING
from framework.structure.fluid.core import FluidCore
from framework.structure.fluid.fact_tables import (
    before_and_after,
    common_tensor,
    most_and_least,
    net_cuts,
    tie_rows,
)
from framework.structure.fluid.ideal_table import Limits, weight_rate
from framework.structure.fluid.kernels import NEVER, Held
from framework.structure.fluid.tolls.separation_costs import choose_tolled
from framework.structure.fluid.tolls.ties import MOST_FACTORS, TiedFluid, tied_fluid
from framework.structure.fluid.tolls.tolls_per_unit import tolls_per_unit
from framework.structure.fluid.variants import Counted, Variant
from framework.structure.ideals.held import Shared, unions
from framework.structure.ideals.lattice import IdealLattice
from framework.structure.poset.closure import BoolArray
from framework.structure.primal.unrelated_machines import DeviceWeights
from framework.structure.unequal.stage_kinds import sets_left

_ABOVE_ALL = 1 << 61
"""More than any sum of weighted costs."""


class _Counts(NamedTuple):
    """What a variant counts.

    Attributes
    ----------
    weight
        ``[fluid]`` what fluid nodes weigh.
    rows, filled
        The rows of the table of ideals that are the same for all devices, and their numbers.
    beyond
        For each set of devices, what lies beyond each ideal weighs at least.
    within
        For each set of devices, what the parameters counted that may lie beyond weigh at most; none where all count.
    available, spent
        ``[kinds][ideals]`` the parameters counted that may, must lie in or below, in weight; none where all count.
    parameters, held
        ``[kinds][ideals]`` the parameters counted of the core, in weight, and those shared beyond each ideal; none
        where all count.
    toll, unit, prefixes, factors
        As in `Limits`, the toll on each kind of device.
    """

    weight: IntArray
    rows: IntArray
    filled: list[int]
    beyond: list[IntArray]
    within: list[IntArray]
    available: list[IntArray]
    spent: list[IntArray]
    parameters: list[IntArray]
    held: list[IntArray]
    toll: list[int]
    unit: int
    prefixes: IntArray
    factors: IntArray


class DeviceTables:
    """What is known of the ideals of a core, as each variant counts it and each device prices it.

    Parameters
    ----------
    device
        The kind of device of each stage.
    crowded
        ``[n]`` the nodes whose parameters the variants of crowded nodes count.

    Raises
    ------
    OutOfTimeError
        From any method, if `should_stop` returns true.

    Attributes
    ----------
    facts
        The table of ideals, as last filled.
    """

    def __init__(
        self,
        core: FluidCore,
        lattice: IdealLattice,
        device: Sequence[int],
        crowded: BoolArray | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self._core, self._lattice, self._device, self._should_stop = core, lattice, device, should_stop
        self._crowded = crowded
        self._priced_on = priced = core.instance.on_each_device()
        self._capacity = [row.bounded_capacity for row in priced]
        # No stage costs more.
        self._most = max(row.total_work + int(row.tensor_cost.sum()) + row.total_parameter_cost for row in priced)
        nodes = core.nodes
        self._work = [lattice.sums(row.work[nodes]) for row in priced]
        self._parameters = [lattice.sums(row.parameter_cost[nodes]) for row in priced]
        self._cut = [net_cuts(core, lattice, costs, self._look) for costs in core.device_net_cost]
        self._shared = _shared_in(core)
        # What the nodes beyond each ideal hold, beside their own.
        self._held_beyond = [self._held(row.shared_cost) for row in priced]
        self._sets = sets_left(device)
        # The set of devices that the stages left after each number of stages are among.
        self._set_after = [
            max(i for i, left in enumerate(self._sets) if set(device[done:]) <= set(left))
            for done in range(len(device) + 1)
        ]
        self._fluid = before_and_after(core)
        self._tolled = bool((core.unit >= 0).any())
        self._counted: dict[Variant, _Counts] = {}
        height = rows.FACTS if self._tolled else rows.PLAIN_FACTS
        if len(core.ties.cost):
            height = rows.TIED + 2 * MOST_FACTORS
        self.facts = np.zeros((height, len(lattice)), np.int64)
        if self._tolled:
            self.facts[rows.FED], self.facts[rows.TAKERS] = common_tensor(core, lattice)

    def of(self, variant: Variant) -> _Counts:
        """Return what a variant counts, gathered when it is first asked for."""
        if variant not in self._counted:
            self._counted[variant] = self._gather(variant)
        return self._counted[variant]

    def limits(self, threshold: int, variant: Variant) -> list[Limits]:
        """Return what a stage on each kind of device keeps to."""
        counts, weights = self.of(variant), weights_of(variant)
        threshold, fluid = min(threshold, self._most), self._core.fluid
        feeding: list[int] = self._core.device_feeding_cost.tolist()
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
                toll=toll,
                unit=counts.unit,
                feeding=z * fed,
                factors=counts.factors,
                by_unit=variant.by_unit,
                prefixes=counts.prefixes,
            )
            for z, y, capacity, row, toll, fed in zip(
                weights.work, weights.streams, self._capacity, self._priced_on, counts.toll, feeding, strict=True
            )
        ]

    def begin(self, variant: Variant) -> None:
        """Fill the table of ideals with what a variant counts, whatever the device."""
        counts = self.of(variant)
        self.facts[counts.filled] = counts.rows

    def price(self, kind: int, variant: Variant) -> None:
        """Fill the table of ideals with the prices of a kind of device."""
        counts, weights, facts = self.of(variant), weights_of(variant), self.facts
        np.multiply(self._work[kind], weights.work[kind], out=facts[rows.WORK])
        np.multiply(self._parameters[kind], weights.work[kind], out=facts[rows.PARAMETERS])
        np.multiply(self._cut[kind], weights.work[kind], out=facts[rows.CUT])
        if counts.available:
            facts[rows.WEIGHT] = counts.parameters[kind]
            facts[rows.AVAILABLE], facts[rows.SPENT] = counts.available[kind], counts.spent[kind]
        else:
            np.multiply(self._parameters[kind], weights.streams[kind], out=facts[rows.WEIGHT])
            facts[rows.AVAILABLE], facts[rows.SPENT] = rows.ANY_NUMBER, 0
        facts[rows.WEIGHT] += facts[rows.WORK]
        if variant.by_unit:
            facts[rows.WEIGHT] -= facts[rows.OWNED_TOLLS]

    def held_by_the_rest(self, kind: int, variant: Variant) -> tuple[IntArray, IntArray]:
        """Return what the shared parameters beyond each ideal cost and weigh in a stage that takes all of that."""
        if not len(self._shared.cost):
            return NOTHING, NOTHING
        weights, counts, beyond = weights_of(variant), self.of(variant), self._held_beyond[kind]
        return weights.work[kind] * beyond, counts.held[kind] if counts.held else weights.streams[kind] * beyond

    def held_on(self, kind: int, variant: Variant) -> Held | None:
        """Return the shared parameters, what they cost and weigh on a kind of device, and memory for a walk."""
        if not len(self._shared.cost):
            return None
        z, cost = weights_of(variant).work[kind], self._priced_on[kind].shared_cost
        shared = self._shared._replace(cost=z * cost, sizes=self._counted_shared(variant)[kind])
        memory = (np.zeros(count, np.int64) for count in (len(cost), self._core.order.n + 1, self._core.order.n + 1))
        return Held(shared, *memory)

    def fill_need(self, done: int, threshold: int, variant: Variant, need: IntArray) -> None:
        """Fill the least useful value of each ideal after so many stages; NEVER where there is none."""
        counts = self.of(variant)
        most, least = self.facts[rows.MOST], self.facts[rows.LEAST]
        np.add(self._excess(done, threshold, variant), int(counts.weight.sum()), out=need)
        np.maximum(need, least, out=need)
        never = need > most
        # With equal stages what is left of work, and of parameters, limits all variants, as a checker of proofs knows.
        for test, other in self._counted.items() if len(self._capacity) == 1 else ():
            if test.basic and test.counted != Counted.CROWDED:
                at = other.filled.index(rows.MOST)
                rest = int(other.weight.sum()) - other.rows[at]
                never |= rest + self._excess(done, threshold, test) > 0
        need[never] = NEVER

    def _excess(self, done: int, threshold: int, variant: Variant) -> IntArray:
        """Return by how much what the core weighs beyond each ideal exceeds all that the stages after so many hold."""
        counts, weights, after = self.of(variant), weights_of(variant), self._set_after[done]
        left = self._device[done:]
        stages = min(_ABOVE_ALL, sum(weights.work[kind] for kind in left) * min(threshold, self._most))
        free = min(_ABOVE_ALL, sum(weights.streams[kind] * self._capacity[kind] for kind in left))
        if not counts.within:
            return counts.beyond[after] - min(_ABOVE_ALL, stages + free)
        excess: IntArray = counts.beyond[after] - np.minimum(counts.within[after], free)
        return excess - stages

    def _gather(self, variant: Variant) -> _Counts:
        core, weights, lattice = self._core, weights_of(variant), self._lattice
        speed = np.array(weights.work, np.int64)[:, None]
        counted = self._counted_parameters(variant)
        each = speed * np.stack([row.work for row in self._priced_on]) + counted
        weight = each[:, core.fluid].min(0)
        tolls = speed * core.device_unit_cost
        toll, unit, prefixes = [0] * len(each), 0, NO_PREFIXES
        tied: TiedFluid | None = None
        numbers, kinds = [rows.MOST, rows.LEAST], [weight - weight % variant.grain]
        if variant.by_unit:
            per_unit = tolls_per_unit(core.unit, tolls.min(0), weight)
            prefixes = per_unit.prefixes
            kinds = [weight + per_unit.toll, weight * per_unit.tolled, per_unit.toll, per_unit.toll * core.fed]
        elif self._tolled:
            mask, toll, unit = choose_tolled(core.unit, tolls, weight)
            kinds += [weight, weight * mask, weight * (mask & core.fed)]
        before_ties = len(kinds)
        if variant.tied:
            ties = core.ties._replace(cost=core.ties.cost * weights.work[0])
            tied = tied_fluid(ties, weight, core.order.n)
            kinds += list(tied.inside)
        if variant.counted == Counted.CROWDED:
            kinds += list(counted[:, core.fluid])
        most, least = most_and_least(core, lattice, self._fluid, np.stack(kinds), self._look)
        filled, first = [most[0], least[0]], len(kinds)
        if variant.by_unit:
            numbers += [rows.OWNED, rows.OWNED_TOLLS, rows.FEEDING]
            filled += [*least[1:4]]
        elif self._tolled:
            numbers += [rows.OWNED, rows.FREE_MOST, rows.FREE_LEAST, rows.FEEDING]
            filled += [least[2], most[1] - most[2], least[1] - least[2], least[3]]
        if tied is not None:
            numbers += range(rows.TIED, rows.TIED + 2 * len(tied.factors))
            rest = tie_rows(lattice, tied, most[before_ties:], least[before_ties:])
            filled += [row for both in rest for row in both]
        owned_tolls = least[2] if variant.by_unit else np.zeros(1, np.int64)
        shared = self._counted_shared(variant)
        beyond, within, available, spent, own, held = (list[IntArray]() for _ in range(6))
        for left in self._sets:
            inside = lattice.sums(each[left][:, core.nodes].min(0))
            crossing = net_cuts(core, lattice, (speed * core.device_net_cost)[left].min(0), self._look)
            beyond.append(inside[-1] - inside + crossing + self._held(shared[left].min(0)))
            beyond[-1] -= owned_tolls[-1] - owned_tolls
        if variant.counted == Counted.CROWDED:
            first -= len(counted)
            own = [lattice.sums(parameters[core.nodes]) for parameters in counted]
            held = [self._held(sizes) for sizes in shared]
            available = [mine + some for mine, some in zip(own, most[first:], strict=True)]
            spent = [mine + some for mine, some in zip(own, least[first:], strict=True)]
            within = [self._most_within(counted[left].max(0), shared[left].max(0)) for left in self._sets]
        return _Counts(
            weight=kinds[0],
            rows=np.stack(filled),
            filled=numbers,
            beyond=beyond,
            within=within,
            available=available,
            spent=spent,
            parameters=own,
            held=held,
            toll=toll,
            unit=unit,
            prefixes=prefixes,
            factors=NOTHING if tied is None else tied.factors,
        )

    def _counted_parameters(self, variant: Variant) -> IntArray:
        """Return what parameters of nodes weigh on each kind of device, ``[kinds, n]``, as far as they count."""
        streams = np.array(weights_of(variant).streams, np.int64)[:, None]
        counted: IntArray = streams * np.stack([row.parameter_cost for row in self._priced_on])
        if variant.counted == Counted.CROWDED:
            assert self._crowded is not None
            counted[:, ~self._crowded] = 0
        return counted

    def _counted_shared(self, variant: Variant) -> IntArray:
        """Return what shared parameters weigh on each kind of device, ``[kinds, parameters]``, as far as they count."""
        streams = np.array(weights_of(variant).streams, np.int64)[:, None]
        counted: IntArray = streams * np.stack([row.shared_cost for row in self._priced_on])
        if variant.counted == Counted.CROWDED:
            assert self._crowded is not None
            shared = self._core.instance.shared
            roomy = ~self._crowded[shared.users]
            counted[:, np.bincount(shared.pins[roomy], minlength=len(shared)) > 0] = 0
        return counted

    def _most_within(self, counted: IntArray, shared: IntArray) -> IntArray:
        """Return what the parameters counted that may lie beyond each ideal come to at most, in all stages together.

        A shared parameter is held by no more stages than it has users.
        """
        core, lattice = self._core, self._lattice
        each = counted[core.nodes].copy()
        used_ptr, used = self._shared.used_ptr, self._shared.used
        np.add.at(each, np.repeat(np.arange(len(each)), np.diff(used_ptr)), shared[used])
        inside, fluid = lattice.sums(each), counted[core.fluid]
        _, done = most_and_least(core, lattice, self._fluid, fluid[None], self._look)
        within: IntArray = inside[-1] - inside + int(fluid.sum()) - done[0]
        return within

    def _held(self, sizes: IntArray) -> IntArray:
        """Return what the core nodes beyond each ideal hold of shared parameters of given sizes, ``[ideals]``."""
        return unions(self._lattice, self._shared, np.zeros(len(self._lattice), np.int64), sizes).outside

    def _look(self) -> None:
        if self._should_stop():
            raise OutOfTimeError("stopped while the facts of the ideals were being gathered")


def _shared_in(core: FluidCore) -> Shared:
    """Return the shared parameters of a core, whose nodes are numbered as in `order`."""
    number = np.zeros(core.instance.n, np.int64)
    number[core.nodes] = np.arange(len(core.nodes))
    shared, cost = core.instance.shared, core.instance.shared_cost
    here = SharedParameters(ptr=shared.ptr, users=number[shared.users])
    return Shared(*here.of_nodes(core.order.n), here.ptr, here.users, cost, cost)


def weights_of(variant: Variant) -> DeviceWeights:
    """Return the weights of devices of a variant that has them."""
    assert variant.devices is not None
    return variant.devices

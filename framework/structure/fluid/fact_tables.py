"""The tables of `framework.structure.fluid.ideal_table` for all variants of one core, gathered from its lattice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.structure.fluid import ideal_table as rows
from framework.structure.fluid.core import FluidCore, incidence, rows_of_sets
from framework.structure.fluid.ideal_table import Fluid, Nets
from framework.structure.fluid.tolls.separation_costs import choose_tolled
from framework.structure.fluid.tolls.ties import TiedFluid, tied_fluid
from framework.structure.fluid.tolls.tolls_per_unit import UnitTolls, tolls_per_unit
from framework.structure.fluid.variants import Counted, Variant
from framework.structure.ideals.lattice import IdealLattice
from framework.structure.poset.closure import BoolArray

IDEALS_A_CALL = 20_000
"""Ideals whose facts are gathered before the clock is looked at: some hundredths of a second."""


def before_and_after(core: FluidCore) -> tuple[Fluid, Fluid]:
    """Return the fluid nodes of a core with what they come before, and with what they come after."""
    before, after = core.before, core.after
    return Fluid(before, *rows_of_sets(before, core.order.n)), Fluid(after, *rows_of_sets(after, core.order.n))


def most_and_least(
    core: FluidCore, lattice: IdealLattice, fluid: tuple[Fluid, Fluid], weights: IntArray, look: Callable[[], None]
) -> tuple[IntArray, IntArray]:
    """Return Mx and Mn, ``[kinds, ideals]``, of weights ``[kinds, fluid]``; `look` is called from time to time."""
    count = len(lattice)
    most, least = np.full((len(weights), count), -1, np.int64), np.zeros((len(weights), count), np.int64)
    most[:, 0] = weights[:, ~core.after.any(axis=1)].sum(axis=1)
    for first in range(0, count, IDEALS_A_CALL):
        rows.fill_fluid(lattice.arrays, fluid, weights, most, least, first, min(first + IDEALS_A_CALL, count))
        look()
    return most, least


def net_cuts(core: FluidCore, lattice: IdealLattice, cost: IntArray, look: Callable[[], None]) -> IntArray:
    """Return what the nets cost that cross each ideal, ``[ideals]`` ticks, given what each costs."""
    pin_nets = np.repeat(np.arange(len(cost), dtype=np.int64), np.diff(core.net_ptr))
    nets = Nets(cost, core.net_ptr, core.net_pins, *incidence(core.net_pins, pin_nets, core.order.n))
    cuts = np.full(len(lattice), -1, np.int64)
    cuts[0] = 0
    for first in range(0, len(lattice), IDEALS_A_CALL):
        rows.fill_cuts(lattice.arrays, nets, cuts, first, min(first + IDEALS_A_CALL, len(lattice)))
        look()
    return cuts


def common_tensor(core: FluidCore, lattice: IdealLattice) -> tuple[IntArray, IntArray]:
    """Return whether each ideal contains the producer of the common tensor, and how many of its core consumers."""
    feeder, takers = np.zeros((2, core.order.n), np.int64)
    feeder[core.feeder], takers[core.takers] = 1, 1
    return lattice.sums(feeder), lattice.sums(takers)


def tie_rows(lattice: IdealLattice, tied: TiedFluid, most: IntArray, least: IntArray) -> list[IntArray]:
    """Return the rows of ties, two of them in each array, given Mx and Mn of what a stage can run."""
    near = [lattice.sums(gained) for gained in tied.near]
    return [np.stack((may + more, must + more)) for may, must, more in zip(most, least, near, strict=True)]


class FactTables:
    """What is known of the ideals of a core, as each variant counts it.

    Parameters
    ----------
    crowded
        ``[n]`` the nodes whose parameters the third way of counting counts; without it there is none.
    further
        Variants beside the basic ones.
    should_stop
        Asked every few hundredths of a second, in all methods.

    Raises
    ------
    OutOfTimeError
        From any method, if `should_stop` returns true.

    Attributes
    ----------
    variants
        Those that can refute: the plain one, those that count parameters where these can overflow, and `further`.
    tolls
        For each way of counting the least toll, the most weight of a unit, and the cost of the common tensor; zeros
        without tolls.
    """

    def __init__(
        self,
        core: FluidCore,
        lattice: IdealLattice,
        crowded: BoolArray | None,
        further: Sequence[Variant],
        should_stop: Callable[[], bool],
    ) -> None:
        self._core, self._lattice, self._should_stop = core, lattice, should_stop
        instance = core.instance
        parameters = instance.parameter_cost
        self._counted = [np.zeros_like(parameters)]
        if instance.can_overflow:
            self._counted.append(parameters)
            if crowded is not None:
                self._counted.append(np.where(crowded, parameters, 0))
        self.variants = (*(Variant(counted=Counted(i)) for i in range(len(self._counted))), *further)
        self.tolls: list[tuple[int, int, int]] = []
        self._unit_tolls: dict[Variant, UnitTolls] = {}
        self._before_and_after = before_and_after(core)
        self._look()
        self._plain = self._gather()
        # Mx and Mn of whole-node variants, and the one table that the latest of them is read from.
        self._fluid_of_whole: dict[Variant, tuple[IntArray, IntArray]] = {}
        self._latest: tuple[Variant, IntArray] | None = None
        self._apart: dict[Variant, IntArray] = {}
        self._ties: dict[Variant, TiedFluid] = {}

    def of(self, variant: Variant) -> IntArray:
        """Return the table of a variant; it is valid until another whole-node variant's is asked for."""
        plain = self._plain[variant.counted]
        if variant.basic:
            return plain
        if variant.by_unit or variant.tied:
            if variant not in self._apart:
                self._apart[variant] = self._gather_tied(variant) if variant.tied else self._gather_by_unit(variant)
            return self._apart[variant]
        if self._latest is None or self._latest[0] != variant:
            if self._latest is None or self._latest[0].counted != variant.counted:
                self._latest = variant, plain.copy()
            table = self._latest[1]
            table[rows.MOST], table[rows.LEAST] = self._whole_fluid(variant)
            self._latest = variant, table
        return self._latest[1]

    def weights(self, variant: Variant) -> IntArray:
        """Return the weight of each fluid node, ``[fluid]`` ticks, as a variant counts it."""
        weight = self._weight(variant)
        if variant.by_unit:
            return weight + self.unit_tolls(variant).toll
        return weight - weight % variant.grain

    def unit_tolls(self, variant: Variant) -> UnitTolls:
        """Return the tolls per unit of a variant that has such."""
        if variant not in self._unit_tolls:
            self._unit_tolls[variant] = tolls_per_unit(self._core.unit, self._core.unit_cost, self._weight(variant))
        return self._unit_tolls[variant]

    def ties(self, variant: Variant) -> TiedFluid:
        """Return what ties mean for a variant that counts them."""
        if variant not in self._ties:
            self._ties[variant] = tied_fluid(self._core.ties, self._weight(variant), self._core.order.n)
        return self._ties[variant]

    def _weight(self, variant: Variant) -> IntArray:
        fluid = self._core.fluid
        weight: IntArray = self._core.instance.work[fluid] + self._counted[variant.counted][fluid]
        return weight

    def _gather_by_unit(self, variant: Variant) -> IntArray:
        """Return the table of a variant with tolls per unit."""
        tolls, plain = self.unit_tolls(variant), self._plain[variant.counted]
        kinds = (
            self.weights(variant),
            self._weight(variant) * tolls.tolled,
            tolls.toll,
            tolls.toll * self._core.fed,
        )
        most, least = self._fluid(np.stack(kinds))
        table = np.zeros((rows.FACTS, len(self._lattice)), np.int64)
        table[: rows.PLAIN_FACTS] = plain[: rows.PLAIN_FACTS]
        table[rows.MOST], table[rows.LEAST] = most[0], least[0]
        table[rows.OWNED], table[rows.OWNED_TOLLS], table[rows.FEEDING] = least[1:]
        table[rows.WEIGHT] -= table[rows.OWNED_TOLLS]
        table[rows.FED], table[rows.TAKERS] = common_tensor(self._core, self._lattice)
        return table

    def _gather_tied(self, variant: Variant) -> IntArray:
        """Return the table of a variant with ties."""
        plain, tied = self._plain[variant.counted], self.ties(variant)
        most, least = self._fluid(tied.inside) if len(tied.factors) else (tied.inside, tied.inside)
        between = np.zeros((rows.TIED - len(plain), len(self._lattice)), np.int64)
        return np.concatenate((plain, between, *tie_rows(self._lattice, tied, most, least)))

    def _whole_fluid(self, variant: Variant) -> tuple[IntArray, IntArray]:
        if variant not in self._fluid_of_whole:
            most, least = self._fluid(self.weights(variant)[None, :])
            self._fluid_of_whole[variant] = most[0], least[0]
        return self._fluid_of_whole[variant]

    def _fluid(self, weights: IntArray) -> tuple[IntArray, IntArray]:
        """Return Mx and Mn, ``[kinds, ideals]``, of weights ``[kinds, fluid]``."""
        return most_and_least(self._core, self._lattice, self._before_and_after, weights, self._look)

    def _look(self) -> None:
        if self._should_stop():
            raise OutOfTimeError("stopped while the facts of the ideals were being gathered")

    def _gather(self) -> list[IntArray]:
        """Return the table of each way of counting, with divisible fluid."""
        core, lattice, instance = self._core, self._lattice, self._core.instance
        work = instance.work[core.fluid]
        counted = [parameters[core.fluid] for parameters in self._counted]
        weights = [work + parameters for parameters in counted]
        tolled = [choose_tolled(core.unit, core.unit_cost[None], weight) for weight in weights]
        plain = not any(one.weight for one in tolled)
        # What may and must be done is asked for in work and in parameters counted, and where there are tolls, in tolled
        # weight and in that of fed units.
        kinds = [work, *counted[1:]]
        if not plain:
            kinds += [weight * mask for weight, (mask, _, _) in zip(weights, tolled, strict=True)]
            kinds += [weight * (mask & core.fed) for weight, (mask, _, _) in zip(weights, tolled, strict=True)]
        most, least = self._fluid(np.stack(kinds))
        facts = np.zeros((rows.PLAIN_FACTS if plain else rows.FACTS, len(lattice)), np.int64)
        facts[rows.CUT] = net_cuts(core, lattice, core.net_cost, self._look)
        facts[rows.WORK] = lattice.work
        facts[rows.PARAMETERS] = lattice.parameter_cost
        facts[rows.MOST_WORK] = most[0]
        facts[rows.MOST_PARAMETERS] = most[1] if len(counted) > 1 else 0
        facts[rows.AVAILABLE], facts[rows.SPENT] = rows.ANY_NUMBER, 0
        facts[rows.WEIGHT], facts[rows.MOST], facts[rows.LEAST] = lattice.work, most[0], least[0]
        if not plain:
            facts[rows.FED], facts[rows.TAKERS] = common_tensor(self._core, self._lattice)
        tables = []
        for way, (_, (toll,), weight) in enumerate(tolled):
            facts = facts.copy()
            if way:
                spent = lattice.parameter_cost if way == 1 else lattice.sums(self._counted[way][core.nodes])
                facts[rows.WEIGHT] = lattice.work + spent
                facts[rows.MOST] = most[0] + most[way]
                facts[rows.LEAST] = least[0] + least[way]
            if way == Counted.CROWDED:
                facts[rows.AVAILABLE], facts[rows.SPENT] = spent + most[2], spent + least[2]
            if toll:
                ahead, owned = most[len(counted) + way], least[len(counted) + way]
                facts[rows.OWNED], facts[rows.FEEDING] = owned, least[2 * len(counted) + way]
                facts[rows.FREE_MOST] = facts[rows.MOST] - ahead
                facts[rows.FREE_LEAST] = facts[rows.LEAST] - owned
            tables.append(facts)
            self.tolls.append((toll, weight, core.feeding_cost) if toll else (0, 0, 0))
        return tables

"""What a decision of the chain relaxation counts as the weight of a node, and how it rounds the weight of fluid nodes.

*Whole nodes.* A stage cannot run a part of a node. Let a stage have room R for fluid, so that the fluid nodes S that it
runs weigh a(S) <= R, and let lambda > 0 be an integer, the *grain*. With u(v) = lambda floor(a(v) / lambda), the sum
u(S) is a multiple of lambda and at most a(S), hence

    u(S)  <=  lambda floor(R / lambda).

A *whole-node variant* counts each fluid node as u(v), so also in Mx, Mn and X of `framework.structure.fluid.chain_dp`,
and rounds the room of each stage down to a multiple of lambda. As the room depends on the two ideals of a stage alone,
all arguments there stay: the values only grow with those before, and u <= a keeps every limit that compares what is
left with what the stages left can hold. The limit by the cost of a stage, rate times the cost left, is applied after
the rounding. With lambda the weight of many equal nodes, a stage with room for 3.14 of them holds 3.

*Ties.* Further variants bound the room of a stage by the ties of fluid nodes to core nodes as well
(`framework.structure.fluid.tolls.ties`).

*Tolls per unit.* Further variants charge each unit of fluid nodes its own separation cost
(`framework.structure.fluid.tolls.tolls_per_unit`).

*Unequal stages.* Nodes weigh what some weights of the devices make of them, and the capacity counts where these say so
(`framework.structure.fluid.unequal_chain_dp`). Let the nodes of a class weigh g_d each on device d: with a grain lambda
and weights z_d = ceil(lambda / g_d) each of them counts as lambda, and a stage on d with room for 3.14 of them holds 3.

Which variants are used is a heuristic: each gives a valid bound. Source: this project; rounding by a unit is a dual
feasible function (Fekete and Schepers 2001), here within a dynamic program.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.fluid.core import FluidCore
from framework.structure.poset.closure import BoolArray
from framework.structure.primal.unrelated_machines import DeviceWeights, balanced_weights, most_weight

CLASSES = 3
"""Classes of equal fluid nodes whose weight is a grain: those that weigh most together."""
NEAR = 0.03
"""Share of its weight by which a class may be lighter to count with a heavier one: then its weight is a grain too."""
LEAST_GRAIN = 0.02
"""Grain, at least, in what a stage may weigh: finer ones round next to nothing."""
LEAST_TIED = 0.03
"""Share of the weight of all fluid that ties have to cost: each further variant takes as long as a basic one."""
LEAST_MEMBERS = 2
"""Nodes of a class, at least: one heavy node alone belongs into the core."""


class Counted(IntEnum):
    """The parameters that are added to work: none; all; those of crowded nodes."""

    WORK = 0
    ALL_PARAMETERS = 1
    CROWDED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A weight of nodes.

    Attributes
    ----------
    counted
        What counts as the weight of a node.
    grain
        Ticks to a multiple of which the weight of a fluid node, and the room for fluid of a stage, is rounded down; 1
        in variants in which fluid is divisible.
    by_unit
        Whether each unit has its own toll, rather than all the least one.
    tied
        Whether ties count.
    devices
        What work and parameters weigh on each kind of device, where stages are unequal.
    """

    counted: Counted = Counted.WORK
    grain: int = 1
    by_unit: bool = False
    tied: bool = False
    devices: DeviceWeights | None = None

    @property
    def basic(self) -> bool:
        """Whether fluid nodes are divisible, all units have the same toll, and ties do not count."""
        return self.grain == 1 and not self.by_unit and not self.tied


PLAIN = Variant()
"""Work alone, divisible."""


def needs_prices(instance: Instance) -> bool:
    """Whether stages are unequal or parameters shared: `framework.structure.fluid.chain_dp` knows neither."""
    return instance.unequal is not None or len(instance.shared) > 0


def _basic_variants(instance: Instance, *, priced: bool) -> list[Variant]:
    """Return a variant for each way of counting, with divisible fluid; with weights of devices if these have prices."""
    if priced:
        return [Variant(devices=weights) for weights in balanced_weights(instance)]
    ways = (Counted.WORK, Counted.ALL_PARAMETERS)[: 1 + bool(instance.can_overflow)]
    return [Variant(counted=counted) for counted in ways]


def toll_variants(core: FluidCore, *, priced: bool = False) -> tuple[Variant, ...]:
    """Return the variants with tolls per unit: one for each way of counting, if a core has units.

    Parameters
    ----------
    priced
        Whether devices have weights.
    """
    if not (core.unit >= 0).any():
        return ()
    return tuple(replace(variant, by_unit=True) for variant in _basic_variants(core.instance, priced=priced))


def tied_variants(core: FluidCore, *, priced: bool = False) -> tuple[Variant, ...]:
    """Return the variants in which ties count, one for each way of counting by which they cost enough.

    Parameters
    ----------
    priced
        Whether devices have weights.
    """
    if not len(core.ties.cost):
        return ()
    paid, instance, variants = int(core.ties.cost.sum()), core.instance, list[Variant]()
    work, parameters = (int(of_nodes[core.fluid].sum()) for of_nodes in (instance.work, instance.parameter_cost))
    for variant in _basic_variants(instance, priced=priced):
        weights = variant.devices or DeviceWeights(work=(1,), streams=(int(variant.counted),))
        (speed, *_), (streams, *_) = weights.work, weights.streams
        if speed * paid > LEAST_TIED * (speed * work + streams * parameters):
            variants.append(replace(variant, tied=True))
    return tuple(variants)


def whole_node_variants(core: FluidCore, stages: int, threshold: int) -> tuple[Variant, ...]:
    """Return the whole-node variants that may refute more on a core than those with divisible fluid.

    Parameters
    ----------
    threshold
        About what a stage costs, in ticks.
    """
    instance = core.instance
    work, parameters = instance.work[core.fluid], instance.parameter_cost[core.fluid]
    variants = [Variant(grain=grain) for grain in _grains(work, stages, threshold)]
    if instance.can_overflow:
        limit = threshold + instance.bounded_capacity
        variants += [
            Variant(counted=Counted.ALL_PARAMETERS, grain=grain) for grain in _grains(work + parameters, stages, limit)
        ]
    return tuple(variants)


def device_variants(core: FluidCore, threshold: int, crowded: BoolArray | None = None) -> tuple[Variant, ...]:
    """Return the variants of a core in which devices have weights: with divisible fluid, and whole-node ones.

    Parameters
    ----------
    threshold
        About what a stage costs, in ticks.
    crowded
        ``[n]`` the nodes whose parameters one of them counts, without those of the others; none if not given.
    """
    priced, most = core.instance.on_each_device(), most_weight(core.instance)
    variants = _basic_variants(core.instance, priced=True)
    if crowded is not None:
        *_, weights = balanced_weights(core.instance, crowded)
        variants.append(Variant(counted=Counted.CROWDED, devices=weights))
    overflows = [row.can_overflow for row in priced]
    for counts in ([False] * len(priced), overflows)[: 1 + any(overflows)]:
        weight = np.stack(
            [(row.work + count * row.parameter_cost)[core.fluid] for row, count in zip(priced, counts, strict=True)]
        )
        limit = [threshold + count * row.bounded_capacity for row, count in zip(priced, counts, strict=True)]
        for size in _device_grains(weight, np.array(limit, np.int64)):
            grain = int(size.min()) * most
            speed = [-(-grain // each) for each in size.tolist()]
            streams = [z * count for z, count in zip(speed, counts, strict=True)]
            variants.append(Variant(devices=DeviceWeights(work=tuple(speed), streams=tuple(streams)), grain=grain))
    return tuple(variants)


def _device_grains(weight: IntArray, limit: IntArray) -> list[IntArray]:
    """Return the weights, ``[kinds]``, of classes of fluid nodes worth counting whole.

    Parameters
    ----------
    weight
        ``[kinds, fluid]`` what each fluid node weighs on each kind of device.
    limit
        ``[kinds]`` about what a stage on each may weigh.
    """
    classes, members = np.unique(weight, axis=1, return_counts=True)
    heavy = (classes >= np.maximum(2, LEAST_GRAIN * limit[:, None])).all(0) & (members >= LEAST_MEMBERS)
    order = np.argsort(-(classes.min(0) * members), kind="stable")
    grains: list[IntArray] = []
    for size in classes[:, order[heavy[order]][:CLASSES]].T:
        near = classes[:, ((classes >= (1 - NEAR) * size[:, None]) & (classes <= size[:, None])).all(0)]
        for grain in (size, near.min(1)):
            if not any(np.array_equal(grain, other) for other in grains):
                grains.append(grain)
    return grains


def _grains(weight: IntArray, stages: int, limit: int) -> list[int]:
    """Return the grains worth trying for fluid nodes of some weights, in stages that weigh at most `limit`.

    What rounding takes from the nodes has to be less than what it may take from the stages.
    """
    classes, members = np.unique(weight, return_counts=True)
    order = np.argsort(-(classes * members), kind="stable")
    many = order[(classes[order] >= max(2, LEAST_GRAIN * limit)) & (members[order] >= LEAST_MEMBERS)]
    grains: list[int] = []
    for size in classes[many[:CLASSES]].tolist():
        near = classes[(classes >= (1 - NEAR) * size) & (classes <= size)]
        for grain in (size, int(near.min())):
            lost = int((weight % grain).sum())
            if grain not in grains and lost < stages * (grain - 1):
                grains.append(grain)
    return grains

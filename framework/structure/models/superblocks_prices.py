"""What groups of stages pay in a superblock model: coarse prices, of one device where each stage has its own.

With a unit g, costs become floor(cost / g) and the capacity ceil(capacity / g), which only lowers what a group pays
(see `framework.structure.models.stages_cp`). Costs beyond what a group may pay are clipped to just that.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupPrices:
    """Costs of one group in coarse ticks.

    Attributes
    ----------
    work, parameters
        ``[n]``; no parameters where none can overflow.
    tensor_cost
        ``[m]``.
    shared_cost
        ``[parameters]`` what shared ones cost.
    capacity
        Of each stage of the group.
    """

    work: IntArray
    parameters: IntArray
    tensor_cost: IntArray
    shared_cost: IntArray
    capacity: int


def group_prices(instance: Instance, sizes: Sequence[int], *, upper: int, unit: int) -> list[GroupPrices]:
    """Return the prices of each group; one record for all where stages are equal.

    Parameters
    ----------
    sizes
        Stages in each group; 1 in all of them where stages are unequal.
    upper
        The largest T of interest, in coarse ticks.
    unit
        Ticks per coarse tick.

    Raises
    ------
    ValueError
        If unequal stages are to share a group.
    """
    if instance.unequal is None:
        return [_coarse(instance, sum(sizes), min(sizes), upper, unit)] * len(sizes)
    devices = instance.unequal.device.tolist()
    if list(sizes) != [1] * len(devices):
        raise ValueError("unequal stages have a group each")
    kinds = [_coarse(kind, 1, 1, upper, unit) for kind in instance.on_each_device()]
    return [kinds[device] for device in devices]


def _coarse(instance: Instance, most: int, least: int, upper: int, unit: int) -> GroupPrices:
    """Return the prices of a group that has at most so many stages, and at least so many."""
    dearest = (upper + 1) * most
    capacity = -(-instance.capacity // unit)
    parameters, shared_cost = instance.parameter_cost // unit, instance.shared_cost // unit
    if int(parameters.sum() + shared_cost.sum()) <= capacity * least:
        parameters, shared_cost = np.zeros_like(parameters), np.zeros_like(shared_cost)
    # Beyond what a group may cost and hold, more parameters change nothing.
    enough = min(dearest + min(capacity, 1 << 46) * most, 1 << 60)
    return GroupPrices(
        work=np.minimum(instance.work // unit, dearest),
        parameters=np.minimum(parameters, enough),
        tensor_cost=np.minimum(instance.tensor_cost // unit, dearest),
        shared_cost=np.minimum(shared_cost, enough),
        capacity=capacity,
    )

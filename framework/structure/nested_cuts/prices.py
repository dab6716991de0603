"""What groups of consecutive stages pay in a nested network: of unequal stages, at least what the cheapest of them do.

Where all stages of a group run on one kind of device, its prices are those of that kind; otherwise those of the
relaxation of just the kinds that occur in the group (`framework.model.unequal`), in which no stage of the group costs
more than on its own device. Stages that are equal may be merged into one with their joint capacity.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.unequal import with_relaxation
from framework.structure.kernel import inlined_kernel


class Prices(NamedTuple):
    """Costs in ticks: of all groups where stages are equal, else with a row for each group.

    Attributes
    ----------
    work, parameters
        ``[n]`` or ``[groups, n]``.
    tensor_cost
        ``[m]`` or ``[groups, m]``.
    held
        ``[groups]`` parameters of all nodes.
    capacities
        ``[groups]`` parameters that each group holds for free.
    """

    work: IntArray
    parameters: IntArray
    tensor_cost: IntArray
    held: IntArray
    capacities: IntArray


def prices_of_groups(instance: Instance, sizes: Sequence[int]) -> Prices:
    """Return the prices of groups of so many stages each."""
    if instance.unequal is None:
        groups = [instance] * len(sizes)
        work, parameters, tensor_cost = instance.work, instance.parameter_cost, instance.tensor_cost
    else:
        devices = np.split(instance.unequal.device, np.cumsum(sizes)[:-1])
        groups = [_cheapest(instance, np.unique(some)) for some in devices]
        work = np.stack([group.work for group in groups])
        parameters = np.stack([group.parameter_cost for group in groups])
        tensor_cost = np.stack([group.tensor_cost for group in groups])
    held = [group.total_parameter_cost for group in groups]
    rooms = [min(group.capacity * size, most) for group, size, most in zip(groups, sizes, held, strict=True)]
    return Prices(work, parameters, tensor_cost, np.array(held, np.int64), np.array(rooms, np.int64))


def most_charged(instance: Instance) -> int:
    """Return what all nodes and tensors pay where each is dearest, tensors in the stages of all their nodes."""
    kinds = instance.on_each_device()
    nodes = np.max([kind.work + kind.parameter_cost for kind in kinds], axis=0)
    tensors = np.max([kind.tensor_cost for kind in kinds], axis=0)
    return int(nodes.sum() + (tensors * (1 + np.diff(instance.topology.consumer_ptr))).sum())


def _cheapest(instance: Instance, kinds: IntArray) -> Instance:
    """Return the instance as stages on some kinds of devices pay at least."""
    if len(kinds) == 1:
        return instance.on_each_device()[int(kinds[0])]
    unequal = instance.unequal
    assert unequal is not None
    some = replace(
        unequal,
        device=np.arange(len(kinds)),
        work=unequal.work[kinds],
        parameter_cost=unequal.parameter_cost[kinds],
        tensor_cost=unequal.tensor_cost[kinds],
        shared_cost=unequal.shared_cost[kinds],
        capacity=unequal.capacity[kinds],
    )
    return with_relaxation(replace(instance, unequal=some))


@inlined_kernel
def priced(costs: IntArray, group: int, i: int) -> int:
    """Return what a node or a tensor costs a group; numba drops the branch that the shape rules out."""
    if costs.ndim == 1:
        return int(costs[i])
    return int(costs[group, i])

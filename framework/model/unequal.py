"""Unequal stages: what nodes and tensors cost where the stages of a pipeline run on different devices.

The stages are a chain in a fixed order, and each runs on a kind of device: on that kind a node takes its own time, a
tensor crosses its own link, and a stage holds its own amount of parameters before they stream in. A stage may stay
empty. An `Instance` with such prices keeps, beside them, the prices of a relaxation in which every stage is the same:

*Relaxation.* Each node, parameter and tensor costs what it costs on the device where it is cheapest, and the capacity C
is such that for all sets S and all devices d

    sum p(S) - C <= max(0, sum p_d(S) - C_d),   p the cheapest and p_d, C_d the parameter costs and capacity of d.

So no stage costs more there than on its own device, and optima only fall: whatever knows nothing of unequal devices
bounds that. A stage with nodes has a working set, where these count, of at least the smallest of all: so C_d is less by
that of d, and nothing else of working sets counts in the relaxation. The least such C is at most the largest value,
over d, of the fractional knapsack that packs nodes of size p_d and value p into C_d: with x = sum p_d(S), where x <=
C_d the stage is one way to pack; where x > C_d, taking away x - C_d of size takes away at most as much value, since p
<= p_d.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from framework.model.arrays import IntArray

if TYPE_CHECKING:
    from framework.model.instance import Instance


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UnequalStages:
    """Costs by kind of device, in the ticks of the instance they belong to.

    Attributes
    ----------
    device
        ``[stages]`` the kind of device that each stage runs on, numbered from 0; all kinds occur.
    work, parameter_cost
        ``[kinds, n]`` what nodes cost on each.
    tensor_cost
        ``[kinds, m]`` what a stage on each pays for a tensor that it reads from outside, or sends out.
    shared_cost
        ``[kinds, parameters]`` what streaming a shared parameter in costs on each.
    capacity
        ``[kinds]`` parameter cost that a stage on each holds for free.
    working_cost
        ``[kinds, n]`` what the working set of each node takes of that; a stage has the largest of its nodes. Without
        columns where they do not count.
    """

    device: IntArray
    work: IntArray
    parameter_cost: IntArray
    tensor_cost: IntArray
    shared_cost: IntArray
    capacity: IntArray
    working_cost: IntArray = field(default_factory=lambda: np.zeros((0, 0), np.int64))

    @property
    def counts_worksets(self) -> bool:
        """Whether working sets count towards the capacity of some kind."""
        return self.working_cost.size > 0

    @property
    def largest_worksets(self) -> IntArray:
        """``[kinds]`` the largest working set of all nodes, on each kind."""
        return self.working_cost.max(1) if self.counts_worksets else np.zeros_like(self.capacity)

    @property
    def stages(self) -> int:
        """Number of stages."""
        return len(self.device)

    @property
    def kinds(self) -> int:
        """Number of kinds of device."""
        return len(self.capacity)

    @property
    def largest_cost(self) -> int:
        """What no stage can cost more than, in ticks."""
        return int((self.work.sum(1) + self.tensor_cost.sum(1) + self._most_overflow).max())

    @property
    def fastest_stage(self) -> int:
        """A stage that runs all nodes in the least time, overflow included."""
        return int((self.work.sum(1) + self._most_overflow)[self.device].argmin())

    @property
    def _most_overflow(self) -> IntArray:
        held = self.parameter_cost.sum(1) + self.shared_cost.sum(1) + self.largest_worksets
        overflow: IntArray = np.maximum(0, held - self.capacity)
        return overflow

    def without_worksets(self) -> UnequalStages:
        """Return the prices with the smallest working set of all in every stage (`Instance.without_worksets`)."""
        if not self.counts_worksets:
            return self
        capacity = np.maximum(0, self.capacity - self.working_cost.min(1))
        return replace(self, capacity=capacity, working_cost=self.working_cost[:0, :0])

    @property
    def first_stages(self) -> list[int]:
        """The first stage of each kind."""
        return [int(np.flatnonzero(self.device == kind)[0]) for kind in range(self.kinds)]

    def told_apart(self, mark: IntArray) -> UnequalStages:
        """Return the same prices, with kinds that differ also where stages have different marks, ``[stages]``."""
        pairs, device = np.unique(np.stack((self.device, mark)), axis=1, return_inverse=True)
        return self._with_rows(pairs[0], device.reshape(-1))

    def merged(self) -> UnequalStages | None:
        """Return the same prices without kinds that cost the same as another one; None if one kind is left."""
        columns = (self.work, self.parameter_cost, self.tensor_cost, self.shared_cost, self.capacity[:, None])
        _, first, kind = np.unique(np.concatenate(columns, axis=1), axis=0, return_index=True, return_inverse=True)
        return None if len(first) == 1 else self._with_rows(first, kind.reshape(-1)[self.device])

    def _with_rows(self, rows: IntArray, device: IntArray) -> UnequalStages:
        return UnequalStages(
            device=device.astype(np.int64),
            work=self.work[rows],
            parameter_cost=self.parameter_cost[rows],
            tensor_cost=self.tensor_cost[rows],
            shared_cost=self.shared_cost[rows],
            capacity=self.capacity[rows],
        )

    def charged(self, payer: IntArray) -> UnequalStages:
        """Return the prices when one user pays for each shared parameter, ``[parameters]`` (see `Instance.charged`)."""
        parameter_cost = self.parameter_cost.copy()
        for own, shared in zip(parameter_cost, self.shared_cost, strict=True):
            np.add.at(own, payer, shared)
        return replace(self, parameter_cost=parameter_cost, shared_cost=self.shared_cost[:, :0])

    def without_overflow(self, capacity: int, shared: int) -> UnequalStages:
        """Return the prices where all parameters, so many of them shared, are below the capacity and never streamed."""
        return replace(
            self,
            parameter_cost=np.zeros_like(self.parameter_cost),
            shared_cost=np.zeros((self.kinds, shared), np.int64),
            capacity=np.full_like(self.capacity, capacity),
            working_cost=self.working_cost[:0, :0],
        )

    def with_free_nodes(self, place: IntArray, n: int, tensors: int) -> UnequalStages:
        """Return the prices with more nodes and tensors, which cost nothing.

        Parameters
        ----------
        place
            ``[n before]`` what each node becomes.
        n
            Number of nodes afterwards.
        tensors
            Number of new tensors, which come last.
        """
        work, parameter_cost = np.zeros((self.kinds, n), np.int64), np.zeros((self.kinds, n), np.int64)
        work[:, place], parameter_cost[:, place] = self.work, self.parameter_cost
        working_cost = self.working_cost
        if self.counts_worksets:
            # A new node has the smallest of all, so that its stage holds no more for it; alone, it must not overflow.
            working_cost = np.repeat(np.minimum(self.working_cost.min(1), self.capacity)[:, None], n, axis=1)
            working_cost[:, place] = self.working_cost
        return replace(
            self.with_free_tensors(tensors), work=work, parameter_cost=parameter_cost, working_cost=working_cost
        )

    def with_free_tensors(self, count: int) -> UnequalStages:
        """Return the prices with more tensors that cost nothing."""
        free = np.zeros((self.kinds, count), np.int64)
        return replace(self, tensor_cost=np.concatenate((self.tensor_cost, free), axis=1))

    @property
    def arrays(self) -> tuple[IntArray, ...]:
        """Everything, for digests."""
        arrays = (self.device, self.work, self.parameter_cost, self.tensor_cost, self.shared_cost, self.capacity)
        return (*arrays, self.working_cost) if self.counts_worksets else arrays


def make_unequal(base: Instance, kinds: Sequence[Instance], device: IntArray) -> Instance:
    """Return the instance whose stages run on different kinds of devices.

    Parameters
    ----------
    base
        Any of `kinds`: its names are taken.
    kinds
        The same graph priced on each kind of device, in the same ticks: instances with equal structure.
    device
        ``[stages]`` the kind that each stage runs on; all kinds occur.

    Raises
    ------
    ValueError
        If the instances differ in structure.
    """
    top = kinds[0].topology
    for other in kinds[1:]:
        same = (
            np.array_equal(other.topology.producer, top.producer),
            np.array_equal(other.topology.consumer_ptr, top.consumer_ptr),
            np.array_equal(other.topology.consumers, top.consumers),
            np.array_equal(other.node_of_input, kinds[0].node_of_input),
            np.array_equal(other.shared.users, kinds[0].shared.users),
        )
        if not all(same):
            raise ValueError("the instances differ in structure")
    unequal = UnequalStages(
        device=np.asarray(device, np.int64),
        work=np.stack([kind.work for kind in kinds]),
        parameter_cost=np.stack([kind.parameter_cost for kind in kinds]),
        tensor_cost=np.stack([kind.tensor_cost for kind in kinds]),
        shared_cost=np.stack([kind.shared_cost for kind in kinds]),
        capacity=np.array([kind.capacity for kind in kinds], np.int64),
    )
    if any(len(kind.working_cost) for kind in kinds):
        nothing = np.zeros(len(base.work), np.int64)
        working = [kind.working_cost if len(kind.working_cost) else nothing for kind in kinds]
        unequal = replace(unequal, working_cost=np.stack(working))
    return with_relaxation(replace(base, unequal=unequal, working_cost=base.working_cost[:0]))


def with_relaxation(instance: Instance) -> Instance:
    """Return the instance with the costs of the relaxation that its unequal stages have."""
    unequal = instance.unequal
    assert unequal is not None
    parameters = np.concatenate((unequal.parameter_cost, unequal.shared_cost), axis=1)
    cheapest = parameters.min(0)
    total = int(cheapest.sum())
    capacity = max(
        _knapsack(sizes, cheapest, int(room)) if int(sizes.sum()) > int(room) else total
        for sizes, room in zip(parameters, unequal.without_worksets().capacity, strict=True)
    )
    n = len(unequal.work[0])
    return replace(
        instance,
        work=unequal.work.min(0),
        parameter_cost=cheapest[:n],
        tensor_cost=unequal.tensor_cost.min(0),
        shared_cost=cheapest[n:],
        capacity=capacity,
    )


def _knapsack(sizes: IntArray, values: IntArray, room: int) -> int:
    """Return the value of the fractional knapsack, rounded up; no value is above its size."""
    kept = np.flatnonzero(values)
    order = kept[np.argsort(-values[kept] / sizes[kept], kind="stable")]
    filled = np.cumsum(sizes[order])
    whole = int(np.searchsorted(filled, room, side="right"))
    value = int(values[order[:whole]].sum())
    if whole < len(order):
        left = room - (int(filled[whole - 1]) if whole else 0)
        value += -(-left * int(values[order[whole]]) // int(sizes[order[whole]]))
    # The order goes by quotients of floats: two that are equal to 15 digits may be the wrong way round.
    return value + 1 + (room >> 48)

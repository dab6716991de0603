"""An instance with unequal stages laid out along a topological order, in the prices of each device.

The structure is that of `framework.structure.primal.layout`, laid out once with the numbers of tensors and of shared
parameters in the place of their costs; prices follow from these numbers.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.unequal import UnequalStages
from framework.structure.primal.layout import CLOSES, COST, NEVER, NEXT, OUTS, USES, Layout, lay_out, with_limit
from framework.structure.unequal.stage_kinds import CompletionTests, StageKinds


class Prices(NamedTuple):
    """What lies along an order costs, a row for each device; in ticks, columns as in `Layout`.

    `work` and `parameters` are of the nodes before each position, `produced` of the tensors produced there; `pins`,
    `outs`, `closes` and `uses` are the prices of the entries of those arrays. `capacity` is ``[devices]``. `working` is
    ``[devices, sets]``, what working sets take of it, by the numbers in `Layout.working`; without columns where they do
    not count.
    """

    work: IntArray
    parameters: IntArray
    produced: IntArray
    pins: IntArray
    outs: IntArray
    closes: IntArray
    uses: IntArray
    capacity: IntArray
    working: IntArray


class Positions(NamedTuple):
    """An order: its structure, its prices, how far segments of each kind reach, and what is left from each position.

    `reach` is ``[kinds, n]``, `after` ``[rows, n + 1]`` the left side of each completion test.
    """

    layout: Layout
    prices: Prices
    reach: IntArray
    after: IntArray


def positions_of(instance: Instance, order: IntArray, kinds: StageKinds, tests: CompletionTests) -> Positions:
    """Return an order, ``[n]`` node indices, in the prices of all devices.

    Raises
    ------
    ValueError
        If `order` is not a topological order of the instance.
    """
    unequal = instance.unequal
    assert unequal is not None
    working, number = _numbered_worksets(unequal)
    numbered = replace(
        instance,
        stage_limit=None,
        tensor_cost=np.arange(instance.m, dtype=np.int64),
        shared_cost=np.arange(len(instance.shared), dtype=np.int64),
        working_cost=number,
    )
    layout = lay_out(numbered, order)
    outs, closes, uses = layout.outs[COST], layout.closes[COST], layout.uses[COST]
    prices = Prices(
        work=_before(unequal.work[:, order]),
        parameters=_before(unequal.parameter_cost[:, order]),
        produced=_by_position(unequal.tensor_cost[:, outs], layout.ptr[OUTS]),
        pins=unequal.tensor_cost[:, layout.pins[COST]],
        outs=unequal.tensor_cost[:, outs],
        closes=unequal.tensor_cost[:, closes],
        uses=unequal.shared_cost[:, uses],
        capacity=np.array([device.bounded_capacity for device in instance.on_each_device()], np.int64),
        working=working,
    )
    # A tensor crosses a position between its producer and its last reader; the rest needs what has a user there.
    crossing = _by_position(tests.tensor[:, outs], layout.ptr[OUTS])
    crossing -= _by_position(tests.tensor[:, closes], layout.ptr[CLOSES])
    last_used = tests.shared[:, uses] * (layout.uses[NEXT] == NEVER)
    ends = tests.node[:, order] + _by_position(last_used, layout.ptr[USES])
    after = _before(crossing) + ends.sum(1)[:, None] - _before(ends)
    limit = instance.stage_limit
    reach = np.full((len(kinds.room), instance.n), instance.n, np.int64)
    if limit is not None:
        devices = instance.on_each_device()
        pairs = zip(kinds.device, kinds.room, strict=True)
        reach = np.stack([with_limit(layout, devices[device], order, room).reach for device, room in pairs])
    return Positions(layout, prices, reach, after)


def _numbered_worksets(unequal: UnequalStages) -> tuple[IntArray, IntArray]:
    """Return the distinct working sets, ``[kinds, sets]`` and ascending after one of nothing, and that of each node.

    Raises
    ------
    ValueError
        If they are in another order on another device.
    """
    if not unequal.counts_worksets:
        return np.zeros((unequal.kinds, 0), np.int64), np.zeros(0, np.int64)
    rows = np.concatenate((np.zeros((1, unequal.kinds), np.int64), unequal.working_cost.T))
    sets, number = np.unique(rows, axis=0, return_inverse=True)
    if (np.diff(sets, axis=0) < 0).any():
        raise ValueError("working sets are in another order on another device")
    return np.ascontiguousarray(sets.T), number.reshape(-1)[1:].astype(np.int64)


def _before(values: IntArray) -> IntArray:
    """Return the sums of the values before each position, for each row: one more than there are positions."""
    sums = np.zeros((len(values), values.shape[1] + 1), np.int64)
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums


def _by_position(values: IntArray, ptr: IntArray) -> IntArray:
    """Return the sums of the entries of each position, ``[rows, n]``."""
    sums = _before(values)
    found: IntArray = sums[:, ptr[1:]] - sums[:, ptr[:-1]]
    return found

"""Groups the stages of a chain by device and limit, and tests whether the last stages have room for what is left.

Two stages are of one *kind* if they run on the same kind of device and may hold the same. Whatever one of them can hold
at a cost of at most T the other can as well.

*Completion.* Let the first stages hold an ideal I, the stages left run on devices from a set D, and 0 <= y_d <= z_d be
whole numbers. As f_d(S) = w_d(S) + in_d(S) + out_d(S) + max(0, p_d(S) - C_d), a stage S on d has

    z_d f_d(S)  >=  z_d w_d(S) + z_d in_d(S) + y_d (p_d(S) - C_d).

Each node beyond I is in one of the stages left, each tensor that crosses I is read by at least one of them, and each
shared parameter with a user beyond I is held by at least one. So if all of them cost at most T,

    sum {min_D (z_d w_d(v) + y_d p_d(v)): v beyond I} + sum {min_D z_d c_d(t): t crosses I}
      + sum {min_D y_d s_d(q): q has a user beyond I}   <=   sum over the stages left of (z T + y C),

and where that fails, I cannot be completed: with these stages, or with fewer of them. The weights z go by the speeds of
devices, with which this is the average over equal stages if they differ by a factor. All sums of costs are below 2^46
and weights at most 2^14, so the left side stays in 64 bits; the right side is cut off above it.

Source: this project.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.unequal import UnequalStages

_SCALE = 1 << 14
"""The largest weight."""

MOST_SETS = 4
"""Sets of devices that completion is tested with; stages with fewer devices left take the next larger set."""

_ABOVE_ALL = 1 << 61
"""More than any sum of weighted costs."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageKinds:
    """The kinds of the stages of an instance.

    Attributes
    ----------
    of_stage
        The kind of each stage.
    device, room
        The device of each kind, and what its stages may hold; 0 where there is no hard limit.
    covered_by
        For each kind, those on the same device that may hold as much or more: itself is one.
    """

    of_stage: tuple[int, ...]
    device: tuple[int, ...]
    room: tuple[int, ...]
    covered_by: tuple[tuple[int, ...], ...]


def stage_kinds(instance: Instance) -> StageKinds:
    """Return the kinds of the stages of an instance whose stages are unequal."""
    unequal, limit = instance.unequal, instance.stage_limit
    assert unequal is not None
    rooms = [0] * unequal.stages
    if limit is not None:
        reserved = limit.reserved.tolist() or rooms
        rooms = [limit.limit - less for less in reserved]
    pairs = list(zip(unequal.device.tolist(), rooms, strict=True))
    kinds = sorted(set(pairs))
    return StageKinds(
        of_stage=tuple(kinds.index(pair) for pair in pairs),
        device=tuple(device for device, _ in kinds),
        room=tuple(room for _, room in kinds),
        covered_by=tuple(
            tuple(i for i, (other, more) in enumerate(kinds) if other == device and more >= room)
            for device, room in kinds
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompletionTests:
    """What must hold of any ideal that the last stages complete, a row for each choice of weights.

    Attributes
    ----------
    node, tensor, shared
        ``[rows, n]``, ``[rows, m]`` and ``[rows, parameters]`` weighted costs of a node and a shared parameter beyond
        the ideal, and of a tensor that crosses it.
    rows
        For each number of stages done, the rows that test it: from the first to before the second.
    speed, streams
        ``[rows, stages + 1]`` the sums of z and of y C over the stages left, by stages done.
    """

    node: IntArray
    tensor: IntArray
    shared: IntArray
    rows: tuple[tuple[int, int], ...]
    speed: IntArray
    streams: IntArray

    def affordable(self, threshold: int) -> IntArray:
        """Return what the stages left can hold at a threshold in ticks, ``[rows, stages + 1]``, by stages done."""
        # Cut off so that the product stays in 64 bits, and above all that there is to hold.
        most = (2 * _ABOVE_ALL - self.streams) // np.maximum(1, self.speed)
        sums = np.minimum(most, threshold) * self.speed + self.streams
        return np.where(most < threshold, 2 * _ABOVE_ALL, sums)

    def least_threshold(self, sums: IntArray) -> int:
        """Return a bound in ticks below which no threshold lets all stages hold so much, ``[rows]``."""
        rows = slice(*self.rows[0])
        speed = self.speed[rows, 0]
        return int((-((self.streams[rows, 0] - sums[rows]) // np.maximum(1, speed)))[speed > 0].max(initial=0))


def completion_tests(instance: Instance) -> CompletionTests:
    """Return the tests of an instance whose stages are unequal: without streaming, and with it where there can be."""
    unequal = instance.unequal
    assert unequal is not None
    device: list[int] = unequal.device.tolist()
    overflows = np.array([row.can_overflow for row in instance.on_each_device()])
    sets = sets_left(device)
    weights: list[tuple[IntArray, IntArray]] = []
    rows_of_set = []
    for left in sets:
        speed = 1.0 / np.maximum(1, unequal.work[left].sum(1))
        z = np.zeros(unequal.kinds, np.int64)
        z[left] = np.maximum(1, np.rint(speed / speed.max() * _SCALE)).astype(np.int64)
        choices = [z * 0, z * overflows] if bool(overflows[left].any()) else [z * 0]
        rows_of_set.append((len(weights), len(weights) + len(choices)))
        weights += [(z, y) for y in choices]
    rows = []
    for done in range(len(device)):
        needed = set(device[done:])
        rows.append(rows_of_set[max(i for i, left in enumerate(sets) if needed <= set(left))])
    rows.append(rows[-1])
    costs = [_weighted(unequal, z, y) for z, y in weights]
    return CompletionTests(
        node=np.stack([node for node, _, _ in costs]),
        tensor=np.stack([tensor for _, tensor, _ in costs]),
        shared=np.stack([shared for _, _, shared in costs]),
        rows=tuple(rows),
        speed=np.stack([_sums_left(z, device) for z, _ in weights]),
        streams=np.stack([_sums_left(y * np.where(y > 0, unequal.capacity, 0), device) for _, y in weights]),
    )


def sets_left(device: Sequence[int]) -> list[list[int]]:
    """Return the sets of devices of the last stages, the largest first; not all where there are many."""
    sets = [sorted(set(device[done:])) for done in range(len(device))]
    distinct = [left for i, left in enumerate(sets) if i == 0 or left != sets[i - 1]]
    if len(distinct) <= MOST_SETS:
        return distinct
    return [distinct[i * (len(distinct) - 1) // (MOST_SETS - 1)] for i in range(MOST_SETS)]


def _weighted(unequal: UnequalStages, z: IntArray, y: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return the weighted costs of nodes, tensors and shared parameters; a device with z = 0 is not in the set."""
    among = np.flatnonzero(z)
    z, y = z[among, None], y[among, None]
    node = (z * unequal.work[among] + y * unequal.parameter_cost[among]).min(0)
    return node, (z * unequal.tensor_cost[among]).min(0), (y * unequal.shared_cost[among]).min(0)


def _sums_left(values: IntArray, device: Sequence[int]) -> IntArray:
    """Return the sum of what each device has over the stages left, or `_ABOVE_ALL`, for each number of stages done."""
    each: list[int] = values[device].tolist()
    sums = [0]
    for value in reversed(each):
        sums.append(min(sums[-1] + value, _ABOVE_ALL))
    return np.array(sums[::-1], np.int64)

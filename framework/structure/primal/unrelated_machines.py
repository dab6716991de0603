"""Lower bound for stages on different devices: the linear relaxation of scheduling on unrelated machines.

Validity: stages b = 1 .. k run on devices d(b), m_d of them on device d. Let z_d >= y_d >= 0 be whole numbers. A stage
S on d costs at least w_d(S), and at least w_d(S) + p_d(S) - C_d, so z_d f(S) >= z_d w_d(S) + y_d (p_d(S) - C_d). All
stages together hold every node, and every shared parameter at least once, so with T the most expensive stage

    T sum m_d z_d  >=  sum_v min_d (z_d w_d(v) + y_d p_d(v))  +  sum_q min_d y_d s_d(q)  -  sum m_d y_d C_d.

The best weights are the dual solution of the linear program of unrelated machines, in which nodes are divisible;
whatever they are, the bound is one of whole numbers. The program is solved by cutting planes: the right side is concave
in (z, y), and a minimum over few devices (Kelley, 1960).

Source: Lenstra, Shmoys and Tardos, 1990, for the program; overflow and shared parameters are this project's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from framework.model.graph import BoolArray
from framework.model.instance import UNLIMITED, Instance
from framework.model.unequal import UnequalStages

_SCALE = 1 << 14
"""The largest weight. Weights times all costs stay in 64 bits."""

_FINEST, _ABOVE_SUMS = 1 << 20, 1 << 59
"""The largest weight of those that only this project's own sums use, and what no weighted cost of a stage exceeds."""

_ROUNDS, _UPDATES = 60, 200
_ENOUGH = 1e-7


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWeights:
    """Whole numbers z_d of each kind of device, and y_d, which is at most z_d and 0 where nothing overflows."""

    work: tuple[int, ...]
    streams: tuple[int, ...]


def bound_by_weights(instance: Instance, weights: DeviceWeights) -> int:
    """Return the bound that weights prove, in ticks.

    Raises
    ------
    ValueError
        If they are no such numbers.
    """
    unequal = instance.unequal
    if unequal is None or not len(weights.work) == len(weights.streams) == unequal.kinds:
        raise ValueError("there must be two weights for each kind of device")
    capacities: list[int] = unequal.capacity.tolist()
    for work, streams, capacity in zip(weights.work, weights.streams, capacities, strict=True):
        if not 0 <= streams <= work <= _SCALE or (streams and capacity >= UNLIMITED):
            raise ValueError(f"no weights of a device: {work}, {streams}")
    counts: list[int] = np.bincount(unequal.device, minlength=unequal.kinds).tolist()
    below = sum(count * work for count, work in zip(counts, weights.work, strict=True))
    if not below:
        return 0
    z, y = (np.array(row, np.int64)[:, None] for row in (weights.work, weights.streams))
    above = int((z * unequal.work + y * unequal.parameter_cost).min(0).sum())
    above += int((y * unequal.shared_cost).min(0).sum())
    above -= sum(
        count * streams * capacity for count, streams, capacity in zip(counts, weights.streams, capacities, strict=True)
    )
    return max(0, -(-above // below))


def quick_weights(instance: Instance) -> DeviceWeights:
    """Return weights by the speeds of devices, without and with streaming, whichever is better: in numpy alone."""
    unequal = instance.unequal
    assert unequal is not None
    speed = 1.0 / np.maximum(1, unequal.work.sum(1))
    candidates = [_rounded(speed / speed.max(), streams) for streams in _streams(instance)]
    return max(candidates, key=lambda weights: bound_by_weights(instance, weights))


def most_weight(instance: Instance) -> int:
    """Return the largest weight of a device with which sums of a few weighted costs of stages stay in 64 bits.

    That is 1 where there is one kind of device, as no more is of use there.
    """
    unequal = instance.unequal
    if unequal is None or unequal.kinds == 1:
        return 1
    parameters = unequal.parameter_cost.sum(1) + unequal.shared_cost.sum(1)
    total = int((unequal.work.sum(1) + unequal.tensor_cost.sum(1) + parameters).max())
    return min(_FINEST, _ABOVE_SUMS // max(1, total))


def balanced_weights(instance: Instance, counted: BoolArray | None = None) -> tuple[DeviceWeights, ...]:
    """Return weights that share all work out, without and with streaming: by multiplicative updates, in numpy alone.

    A device on which the nodes that are cheapest there take long gets a larger weight. Weights are rounded up: a node
    that is cheapest on a fast device counts no less because of a slow one. They are at most `most_weight`.

    Parameters
    ----------
    counted
        ``[n]`` the nodes whose parameters count with streaming, all if not given.
    """
    unequal, most = instance.unequal, most_weight(instance)
    if unequal is not None and counted is not None:
        unequal = replace(unequal, parameter_cost=unequal.parameter_cost * counted)
    found: list[DeviceWeights] = []
    for streams in _streams(instance):
        if found and not streams.any():
            continue
        work = np.ones(len(streams), np.int64) if unequal is None else _balanced(unequal, streams, most)
        found.append(
            DeviceWeights(work=tuple(work.tolist()), streams=tuple((work * streams.astype(np.int64)).tolist()))
        )
    return tuple(found)


def _balanced(unequal: UnequalStages, streams: Any, most: int) -> Any:
    """Return the best weights of work met, ``[kinds]``, where parameters count as work on the devices given."""
    counts = np.bincount(unequal.device, minlength=unequal.kinds).astype(float)
    load = unequal.work + streams[:, None] * unequal.parameter_cost
    free = counts * np.where(streams > 0, unequal.capacity, 0)
    weight = best = 1.0 / np.maximum(1, load.sum(1))
    value = -np.inf
    for step in np.geomspace(0.5, 0.005, _UPDATES):
        weight = weight / (weight @ counts)
        cheapest = (weight[:, None] * load).argmin(0)
        taken = np.array([load[kind, cheapest == kind].sum() for kind in range(unequal.kinds)]) - free
        if weight @ taken > value:
            value, best = weight @ taken, weight
        weight = weight * np.exp(step * np.clip(taken / counts / max(1.0, abs(weight @ taken)) - 1, -1, 1))
    return np.ceil(best / best.max() * most).astype(np.int64)


def best_weights(instance: Instance, should_stop: Callable[[], bool] = lambda: False) -> DeviceWeights:
    """Return the best weights found by cutting planes; at least as good as the quick ones."""
    from scipy.optimize import linprog

    unequal = instance.unequal
    assert unequal is not None
    d = unequal.kinds
    counts = np.bincount(unequal.device, minlength=d).astype(float)
    overflows = np.array([bool(streams) for streams in _streams(instance)[-1]])
    capacity = np.where(overflows, unequal.capacity, 0).astype(float)
    unit = float(max(1, int(unequal.work.max(1).max())))
    best = quick_weights(instance)
    value = bound_by_weights(instance, best)
    rows: list[Any] = []
    point = np.array([*best.work, *best.streams], float)
    point /= point[:d] @ counts
    # Variables z, y and the bound; each round adds a linear function that the bound is nowhere above.
    order = np.concatenate((-np.eye(d), np.eye(d), np.zeros((d, 1))), axis=1)
    normal = np.concatenate((counts, np.zeros(d + 1)))[None]
    limits = [(0, None)] * d + [(0, None if overflow else 0) for overflow in overflows] + [(None, None)]
    for _ in range(_ROUNDS):
        if should_stop():
            break
        z, y = point[:d, None], point[d:, None]
        slope = np.zeros(2 * d)
        chosen = (z * unequal.work + y * unequal.parameter_cost).argmin(0)
        for kind in range(d):
            mine = chosen == kind
            slope[kind] = unequal.work[kind, mine].sum() / unit
            slope[d + kind] = unequal.parameter_cost[kind, mine].sum() / unit
        if unequal.shared_cost.shape[1]:
            holder = (y * unequal.shared_cost).argmin(0)
            for kind in range(d):
                slope[d + kind] += unequal.shared_cost[kind, holder == kind].sum() / unit
        slope[d:] -= counts * capacity / unit
        rows.append(np.concatenate((-slope, [1.0])))
        weights = _rounded(point[:d] / point[:d].max(), point[d:] / point[:d].max())
        if (found := bound_by_weights(instance, weights)) > value:
            best, value = weights, found
        solved = linprog(
            np.concatenate((np.zeros(2 * d), [-1.0])),
            A_ub=np.concatenate((order, np.array(rows))),
            b_ub=np.zeros(d + len(rows)),
            A_eq=normal,
            b_eq=[1.0],
            bounds=limits,
            method="highs",
        )
        if solved.status != 0 or -solved.fun * unit <= value * (1 + _ENOUGH):
            break
        point = solved.x[: 2 * d]
        if point[:d].max() <= 0:
            break
    return best


def _streams(instance: Instance) -> list[Any]:
    """Return the choices of whether overflow counts on each kind of device: nowhere, and where there is some."""
    overflows = np.array([float(row.can_overflow) for row in instance.on_each_device()])
    return [np.zeros_like(overflows), overflows]


def _rounded(work: Any, streams: Any) -> DeviceWeights:
    """Return whole weights; `work` has a maximum of 1."""
    z = np.rint(np.clip(work, 0, 1) * _SCALE).astype(np.int64)
    y = np.minimum(z, np.rint(np.clip(streams, 0, 1) * _SCALE).astype(np.int64))
    return DeviceWeights(work=tuple(z.tolist()), streams=tuple(y.tolist()))

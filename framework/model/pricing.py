"""Pricing: from a ModelGraph and a Device to an Instance in integer ticks.

Quantisation happens here and nowhere else. Integer input with small sums keeps its own unit. Otherwise one
tick is a power of ten of the unit, chosen so that the total work is about 10^12 ticks, and every cost is
rounded to the nearest tick; the instance so made is *the* problem that all later bounds speak about.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from framework.errors import UserError
from framework.model.device import Device
from framework.model.graph import ModelGraph, PhysicalCosts, PricedCosts
from framework.model.instance import MAX_TOTAL, UNLIMITED, Instance, build_instance
from framework.model.topology import IntArray

TARGET_WORK = 1e12
"""Total work, in ticks, that a quantised instance aims at."""

_LARGEST_EXPONENT = 300
"""Costs so small that they need a larger scale than a float holds are rounded to nothing."""


def price(graph: ModelGraph, device: Device | None = None) -> Instance:
    """Price a graph on a device and quantise it.

    Parameters
    ----------
    graph
        Any graph; a priced one needs no device.
    device
        Needed for physical costs: always its link bandwidth, its peak FLOP/s and memory bandwidth where some
        node has no measured time. Its fast memory (None or infinite: no overflow) overrides nothing in a
        priced graph.

    Raises
    ------
    UserError
        If the device lacks a figure that the graph needs, or the costs do not fit into 64-bit integers.
    """
    costs = graph.costs
    with np.errstate(over="ignore"):
        priced = costs if isinstance(costs, PricedCosts) else _apply_roofline(graph, costs, device)
        total = _chargeable_total(graph, priced)
    if not math.isfinite(total):
        raise UserError("the costs add up to infinity", where=graph.source, mend="scale the costs down")
    work, parameters, tensors = priced.work, priced.parameter_cost, priced.tensor_cost
    capacity: int | float | None = priced.capacity
    if _all_integers(priced) and total <= MAX_TOTAL:
        scale = 1.0
        ticks = [np.asarray(a, dtype=np.int64) for a in (work, parameters, tensors)]
        capacity_ticks = UNLIMITED if capacity is None else min(int(capacity), UNLIMITED)
    else:
        scale = _choose_scale(float(np.sum(work, dtype=np.float64)), total)
        ticks = [_round(a, scale) for a in (work, parameters, tensors)]
        scaled = math.inf if capacity is None else float(capacity) * scale
        capacity_ticks = UNLIMITED if scaled >= UNLIMITED else round(scaled)
    try:
        return build_instance(
            name=graph.name,
            unit=priced.unit,
            ticks_per_unit=scale,
            work=ticks[0],
            parameter_cost=ticks[1],
            tensor_cost=ticks[2],
            capacity=capacity_ticks,
            producer=graph.topology.producer,
            consumer_ptr=graph.topology.consumer_ptr,
            consumers=graph.topology.consumers,
        )
    except OverflowError as error:
        raise UserError(str(error), where=graph.source, mend="scale the costs down") from error


def needs_device(graph: ModelGraph) -> bool:
    """Whether pricing needs the compute figures of a device, not only bandwidth and fast memory."""
    return isinstance(graph.costs, PhysicalCosts) and bool(np.isnan(graph.costs.seconds).any())


def _apply_roofline(graph: ModelGraph, costs: PhysicalCosts, device: Device | None) -> PricedCosts:
    if device is None or device.link_bandwidth is None:
        raise UserError(
            "the graph holds bytes, and no link bandwidth is given",
            where=graph.source,
            mend="give --device NAME, or --bandwidth BYTES_PER_SECOND",
        )
    seconds = costs.seconds
    unknown = np.isnan(seconds)
    if unknown.any():
        if device.peak_flops is None or device.memory_bandwidth is None:
            first = graph.node_names[int(np.flatnonzero(unknown)[0])]
            raise UserError(
                f"node {first!r} has no measured time, and device {device.name} no peak_flops and memory_bandwidth",
                where=graph.source,
                mend="give --device NAME",
            )
        roofline = np.maximum(costs.flops / device.peak_flops, costs.accessed_bytes / device.memory_bandwidth)
        seconds = np.where(unknown, roofline, seconds)
    memory = device.fast_memory
    unlimited = memory is None or math.isinf(memory)
    return PricedCosts(
        unit="s",
        work=seconds,
        parameter_cost=costs.parameter_bytes / device.link_bandwidth,
        tensor_cost=costs.tensor_bytes / device.link_bandwidth,
        capacity=None if unlimited or memory is None else memory / device.link_bandwidth,
    )


def _all_integers(priced: PricedCosts) -> bool:
    arrays = (priced.work, priced.parameter_cost, priced.tensor_cost)
    whole_capacity = priced.capacity is None or isinstance(priced.capacity, int)
    return whole_capacity and all(np.issubdtype(a.dtype, np.integer) for a in arrays)


def _chargeable_total(graph: ModelGraph, priced: PricedCosts) -> float:
    """Sum of every cost a partition could ever charge, in the unit of the graph (float: only compared)."""
    touches = 1 + np.diff(graph.topology.consumer_ptr)
    nodes = np.sum(priced.work, dtype=np.float64) + np.sum(priced.parameter_cost, dtype=np.float64)
    return float(nodes + np.sum(priced.tensor_cost * touches.astype(np.float64)))


def _choose_scale(total_work: float, total: float) -> float:
    if total <= 0:
        return 1.0
    exponent = round(math.log10(TARGET_WORK) - math.log10(total_work if total_work > 0 else total))
    # Costs other than work may dwarf it; half the limit leaves room for rounding up.
    exponent = min(exponent, math.floor(math.log10(MAX_TOTAL / 2) - math.log10(total)), _LARGEST_EXPONENT)
    return float(10.0**exponent)


def _round(values: NDArray[np.int64] | NDArray[np.float64], scale: float) -> IntArray:
    return np.rint(values.astype(np.float64) * scale).astype(np.int64)

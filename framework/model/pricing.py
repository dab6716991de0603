"""Pricing: from a ModelGraph and a Device to an Instance in integer ticks.

Quantisation happens here and nowhere else. Integer input with small sums keeps its own unit. Otherwise one tick is a
power of ten of the unit, chosen so that the total work is about 10^12 ticks; every cost is rounded down to whole ticks
and the capacity up. So a stage costs no more in ticks than in the file's own numbers, and a dual bound in ticks is one
in the unit (`framework.model.exact` says how exactly, and prices partitions in the unit).

Two kinds of cost would coarsen the tick until work is rounded away, and are bounded where they would:

- *A dear tensor.* One stage that holds everything costs U = all work + all overflow. A partition that cuts a tensor
  dearer than U costs more than that, so the tensor is never cut in an optimal one, and counting it as one tick more
  than U changes no optimum. Where pins or a memory limit forbid that one stage, it is a relaxation: costs only fall.
- *Parameters that always fit.* Where all parameters together, and the largest working set if these count, do not
  exceed the capacity, no stage overflows.

Both are said of each kind of device where stages run on different ones: a tensor that costs more on its device than
everything does there costs more than everything does on the device where that is cheapest.

Where the device counts activations, state is a part of the parameters of a node, and each node has a working set.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from framework.errors import UserError
from framework.model.arrays import IntArray
from framework.model.device import Device
from framework.model.device_chain import DeviceChain, Devices
from framework.model.exact import Rounding
from framework.model.graph import ModelGraph, PhysicalCosts, PricedCosts
from framework.model.instance import MAX_TOTAL, UNLIMITED, Instance, build_instance
from framework.model.memory import working_sets
from framework.model.unequal import make_unequal

TARGET_WORK = 1e12
"""Total work, in ticks, that a quantised instance aims at."""

WORST_ROUNDING = 1e-4
"""Largest part of a bottleneck that rounding may be unsure of."""

_LARGEST_EXPONENT = 300
"""Costs so small that they need a larger scale than a float holds are rounded to nothing."""

_WHOLE = 2.0**-49
"""A float this close to a whole number, relatively, is that number: 0.6 * 10^12 is 6 * 10^11."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Priced(PricedCosts):
    """Costs in one unit, and what the working set of each node takes of the capacity: none where they do not count."""

    working_cost: IntArray | NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quantised:
    """An instance in ticks, how its ticks and the unit of the graph differ, and what priced it."""

    instance: Instance
    rounding: Rounding
    device: Devices | None = None


def price(graph: ModelGraph, device: Devices | None = None) -> Instance:
    """Price a graph on a device and quantise it; see `quantise`."""
    return quantise(graph, device).instance


def quantise(graph: ModelGraph, device: Devices | None = None) -> Quantised:
    """Price a graph on a device, or on a chain of devices, and quantise it.

    The instance has no shared parameters that cannot cost anything.

    Parameters
    ----------
    graph
        Any graph; a priced one needs no device.
    device
        Needed for physical costs: always its link bandwidth, its peak FLOP/s and memory bandwidth where some
        node has no measured time. Its link latency and its fast memory (None or infinite: no overflow) change
        nothing in a priced graph.

    Raises
    ------
    UserError
        If the device lacks a figure that the graph needs, if the costs do not fit into 64-bit integers, or if they
        span so many orders of magnitude that ticks cannot tell partitions apart.
    """
    priced = _quantise_chain(graph, device) if isinstance(device, DeviceChain) else _quantise(graph, device)
    return replace(priced, instance=priced.instance.without_idle_parameters(), device=device)


def _quantise(graph: ModelGraph, device: Device | None) -> Quantised:
    costs = graph.costs
    with np.errstate(over="ignore"):
        priced = costs if isinstance(costs, PricedCosts) else _apply_roofline(graph, costs, device)
        priced, capped = _bounded_by_float(graph, priced)
    if _all_integers(priced):
        total = _chargeable_total(graph, priced)
        if total > MAX_TOTAL:
            priced, capped = _bounded(priced, whole=True)
            total = _chargeable_total(graph, priced)
        if total <= MAX_TOTAL:
            return Quantised(
                instance=_build(graph, priced, 1.0, priced.capacity),
                rounding=Rounding(ticks_per_unit=1.0, exact=True, capped_tensors=capped),
            )
    priced, exponent, capped = _scaled(graph, priced, capped)
    return _in_ticks(graph, priced, float(10.0 ** min(exponent, _LARGEST_EXPONENT)), capped)


def _bounded_by_float(graph: ModelGraph, priced: PricedCosts) -> tuple[PricedCosts, int]:
    """Return costs whose sum is a number, and how many tensors were capped for that."""
    if math.isfinite(_chargeable_total(graph, priced)):
        return priced, 0
    # Dear tensors are capped, and parameters that always fit dropped, before sums beyond floats are refused.
    priced, capped = _bounded(priced, whole=False)
    if not math.isfinite(_chargeable_total(graph, priced)):
        raise UserError("the costs add up to infinity", where=graph.source, hint="scale the costs down")
    return priced, capped


def _scaled(graph: ModelGraph, priced: PricedCosts, capped: int) -> tuple[PricedCosts, int, int]:
    """Return costs, the power of ten of the unit that one tick is to be, and how many tensors are capped by now."""
    total = _chargeable_total(graph, priced)
    exponent = _wanted_exponent(priced, total)
    if _largest_exponent(total) < exponent:
        priced, more = _bounded(priced, whole=False)
        capped += more
        exponent = min(exponent, _largest_exponent(_chargeable_total(graph, priced)))
    return priced, exponent, capped


def _in_ticks(graph: ModelGraph, priced: PricedCosts, scale: float, capped: int) -> Quantised:
    """Round costs down to ticks and the capacity up, and say how much that loses."""
    columns = (priced.work, priced.parameter_cost, priced.tensor_cost, priced.shared_cost, _working(priced))
    ticks, lost = zip(*(_round_down(a, scale) for a in columns), strict=True)
    capacity, spare = UNLIMITED, 0.0
    scaled = math.inf if priced.capacity is None else float(priced.capacity) * scale
    if scaled < UNLIMITED:
        capacity = round(scaled) if _is_whole(scaled) else math.ceil(scaled)
        spare = capacity - scaled
    whole = _Priced(
        unit=priced.unit,
        work=ticks[0],
        parameter_cost=ticks[1],
        tensor_cost=ticks[2],
        capacity=capacity,
        shared_cost=ticks[3],
        working_cost=ticks[4],
    )
    instance = _build(graph, whole, scale, capacity)
    # In ticks nothing may overflow while the graph's own numbers do, by less than rounding takes away. Of working sets
    # only one counts, which loses less than a tick.
    lost_parameters = lost[1] + lost[3] + min(lost[4], 1.0) + spare
    overflows = instance.most_held + lost_parameters * (1 + 1e-6) >= instance.capacity
    stage_ticks = lost[0] + lost[2] + (lost_parameters if overflows else 0.0)
    rounding = Rounding(
        ticks_per_unit=scale,
        exact=False,
        # The sums above are floats themselves: a millionth more than covers their own rounding.
        stage_ticks=math.ceil(stage_ticks * (1 + 1e-6)),
        parameter_ticks=instance.most_held if overflows else 0,
        capped_tensors=capped,
    )
    if overflows or priced.work.any():
        # Otherwise one stage costs nothing, and that is exact.
        everything = instance.total_work + max(0, instance.most_held - instance.capacity)
        check_rounding(rounding, everything, graph)
    return Quantised(instance=instance, rounding=rounding)


def check_rounding(rounding: Rounding, bottleneck: int, graph: ModelGraph) -> None:
    """Refuse to speak of a bottleneck (ticks) that rounding leaves too unsure.

    Raises
    ------
    UserError
        If a stage may lose more than `WORST_ROUNDING` of it.
    """
    if rounding.stage_ticks > WORST_ROUNDING * max(bottleneck, 1) and rounding.stage_ticks:
        part = (
            f"{rounding.stage_ticks / bottleneck:.2g} of the bottleneck" if bottleneck else "more than the bottleneck"
        )
        raise UserError(
            f"the costs span too many orders of magnitude: rounding them to 64-bit integers may lose {part}",
            where=graph.source,
            hint="bring work, transfers, parameters and capacity to comparable sizes; check their units",
        )


def _build(graph: ModelGraph, whole: PricedCosts, scale: float, capacity: float | None) -> Instance:
    """Build the instance of costs that are whole ticks."""
    try:
        return build_instance(
            name=graph.name,
            unit=whole.unit,
            ticks_per_unit=scale,
            work=np.asarray(whole.work, np.int64),
            parameter_cost=np.asarray(whole.parameter_cost, np.int64),
            tensor_cost=np.asarray(whole.tensor_cost, np.int64),
            capacity=UNLIMITED if capacity is None else min(int(capacity), UNLIMITED),
            producer=graph.topology.producer,
            consumer_ptr=graph.topology.consumer_ptr,
            consumers=graph.topology.consumers,
            shared=graph.shared,
            shared_cost=np.asarray(whole.shared_cost, np.int64),
            working_cost=np.asarray(_working(whole), np.int64),
        )
    except OverflowError as error:
        raise UserError(str(error), where=graph.source, hint="scale the costs down") from error


def _bounded(priced: PricedCosts, *, whole: bool) -> tuple[PricedCosts, int]:
    """Drop parameters that always fit, cap tensors dearer than everything in one stage; also return how many are.

    Floats are capped a little above what one stage costs, however their sums were rounded.
    """
    work, parameters = _total(priced.work), _total(priced.parameter_cost) + _total(priced.shared_cost)
    if len(working := _working(priced)):
        parameters += float(working.max())
    changed = priced
    overflow: int | float = 0
    if priced.capacity is not None and parameters * (1 if whole else 1 + 1e-9) > priced.capacity:
        overflow = max(0, parameters - priced.capacity)
    else:
        nothing = np.zeros(len(priced.work), np.int64), np.zeros(len(priced.shared_cost), np.int64)
        changed = PricedCosts(
            unit=priced.unit,
            work=priced.work,
            parameter_cost=nothing[0],
            tensor_cost=priced.tensor_cost,
            capacity=None,
            shared_cost=nothing[1],
        )
    cap = work + overflow + 1 if whole else (work + overflow) * (1 + 1e-9)
    dear = priced.tensor_cost > cap
    if dear.any():
        changed = replace(changed, tensor_cost=np.where(dear, cap, priced.tensor_cost))
    return changed, int(dear.sum())


def _working(priced: PricedCosts) -> IntArray | NDArray[np.float64]:
    return priced.working_cost if isinstance(priced, _Priced) else np.zeros(0)


def _total(values: IntArray | NDArray[np.float64]) -> int | float:
    """Return a sum: exact for integers, also beyond 64 bits."""
    if not np.issubdtype(values.dtype, np.integer):
        return float(values.sum())
    whole = values.astype(np.int64)
    return (int((whole >> 32).sum()) << 32) + int((whole & 0xFFFFFFFF).sum())


def parameters_in_unit(graph: ModelGraph, device: Devices | None) -> float:
    """Return what streaming all parameters of a graph would cost, shared ones once, whether they fit or not.

    Of several devices, on the one with the fastest link.
    """
    if isinstance(device, DeviceChain):
        return min(parameters_in_unit(graph, kind) for kind in device.kinds)
    costs = graph.costs
    if isinstance(costs, PricedCosts):
        return float(_total(costs.parameter_cost) + _total(costs.shared_cost))
    assert device is not None
    assert device.link_bandwidth is not None
    return costs.streams * float(costs.parameter_bytes.sum() + costs.shared_bytes.sum()) / device.link_bandwidth


def needs_device(graph: ModelGraph) -> bool:
    """Whether pricing needs the compute figures of a device, not only bandwidth and fast memory."""
    return isinstance(graph.costs, PhysicalCosts) and bool(np.isnan(graph.costs.seconds).any())


def _quantise_chain(graph: ModelGraph, chain: DeviceChain) -> Quantised:
    """Price a graph on every kind of device, in the ticks that suit the one with the largest costs."""
    costs = graph.costs
    if isinstance(costs, PricedCosts):
        raise UserError(
            "this graph carries its own prices, and devices cannot price it",
            where=graph.source,
            hint="drop the devices",
        )
    rows = []
    for device in chain.kinds:
        with np.errstate(over="ignore"):
            rows.append(_bounded_by_float(graph, _apply_roofline(graph, costs, device)))
    scaled = [_scaled(graph, *row) for row in rows]
    scale = float(10.0 ** min(min(exponent for _, exponent, _ in scaled), _LARGEST_EXPONENT))
    kinds = [_in_ticks(graph, priced, scale, capped) for priced, _, capped in scaled]
    roundings = [kind.rounding for kind in kinds]
    instances = [kind.instance for kind in kinds]
    return Quantised(
        instance=make_unequal(instances[0], instances, np.array(chain.kind_of_stage, np.int64)),
        rounding=Rounding(
            ticks_per_unit=scale,
            exact=False,
            stage_ticks=max(rounding.stage_ticks for rounding in roundings),
            parameter_ticks=max(rounding.parameter_ticks for rounding in roundings),
            capped_tensors=max(rounding.capped_tensors for rounding in roundings),
        ),
    )


def _apply_roofline(graph: ModelGraph, costs: PhysicalCosts, device: Device | None) -> PricedCosts:
    if device is None or device.link_bandwidth is None:
        raise UserError(
            "the graph holds bytes, and no link bandwidth is given",
            where=graph.source,
            hint="give a `device` that has one",
        )
    seconds = costs.seconds_on(device.name)
    unknown = np.isnan(seconds)
    if unknown.any():
        if device.peak_flops is None or device.memory_bandwidth is None:
            first = graph.node_names[int(np.flatnonzero(unknown)[0])]
            raise UserError(
                f"node {first!r} has no measured time, and device {device.name} no peak_flops and memory_bandwidth",
                where=graph.source,
                hint="give a `device` that has both",
            )
        roofline = np.maximum(costs.flops / device.peak_flops, costs.accessed_bytes / device.memory_bandwidth)
        seconds = np.where(unknown, roofline, seconds)
    memory = device.fast_memory
    unlimited = memory is None or math.isinf(memory)
    # What has no bytes is a dependency: nothing is handed over.
    sent = costs.tensor_bytes > 0
    streaming = device.link_bandwidth / costs.streams
    parameters, working = costs.parameter_bytes / streaming, np.zeros(0)
    if device.activations and graph.step is not None:
        raise UserError(
            "`activations` counts the working sets of inferences towards the fast memory; those of training are not "
            "streamed as parameters are",
            where=graph.source,
            hint="drop it, and give a memory limit, which counts activations in training",
        )
    if device.activations and not unlimited:
        parameters = parameters + costs.state_bytes / device.link_bandwidth
        working = working_sets(graph) / device.link_bandwidth
    return _Priced(
        unit="s",
        work=seconds,
        parameter_cost=parameters,
        tensor_cost=costs.tensor_bytes / device.link_bandwidth + np.where(sent, device.link_latency, 0.0),
        capacity=None if unlimited or memory is None else memory / streaming,
        shared_cost=costs.shared_bytes / streaming,
        working_cost=working,
    )


def _all_integers(priced: PricedCosts) -> bool:
    arrays = (priced.work, priced.parameter_cost, priced.tensor_cost, priced.shared_cost)
    whole_capacity = priced.capacity is None or isinstance(priced.capacity, int)
    return whole_capacity and all(np.issubdtype(a.dtype, np.integer) for a in arrays)


def _chargeable_total(graph: ModelGraph, priced: PricedCosts) -> float:
    """Sum of every cost a partition could ever charge, in the unit of the graph (float: only compared)."""
    touches = 1 + np.diff(graph.topology.consumer_ptr)
    nodes = np.sum(priced.work, dtype=np.float64) + np.sum(priced.parameter_cost, dtype=np.float64)
    shared = np.sum(priced.shared_cost * np.diff(graph.shared.ptr).astype(np.float64))
    nodes += np.sum(_working(priced), dtype=np.float64)
    return float(nodes + shared + np.sum(priced.tensor_cost * touches.astype(np.float64)))


def _wanted_exponent(priced: PricedCosts, total: float) -> int:
    """Return the power of ten that makes the total work (or all there is) about `TARGET_WORK` ticks."""
    work = float(np.sum(priced.work, dtype=np.float64))
    size = work if work > 0 else total
    return round(math.log10(TARGET_WORK) - math.log10(size)) if size > 0 else 0


def _largest_exponent(total: float) -> int:
    """Return the largest power of ten at which all costs stay below half of `MAX_TOTAL` ticks."""
    return math.floor(math.log10(MAX_TOTAL / 2) - math.log10(total)) if total > 0 else _LARGEST_EXPONENT


def _is_whole(scaled: float) -> bool:
    return abs(scaled - round(scaled)) <= _WHOLE * scaled


def _round_down(values: NDArray[np.int64] | NDArray[np.float64], scale: float) -> tuple[IntArray, float]:
    """Return values in whole ticks, and what all of them lose together, in ticks."""
    scaled = values.astype(np.float64) * scale
    nearest = np.rint(scaled)
    ticks = np.where(np.abs(scaled - nearest) <= _WHOLE * scaled, nearest, np.floor(scaled))
    return ticks.astype(np.int64), float(np.maximum(scaled - ticks, 0.0).sum())

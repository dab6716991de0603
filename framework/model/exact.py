"""What a partition costs in the file's own numbers, and how far ticks may be from it.

Ticks are made for computing; people and files speak of units. Three facts keep the two apart and honest:

*Lower.* Quantisation rounds every cost down and the capacity up (`framework.model.pricing`), so a stage costs at most
``(1 + SLACK)`` times its true cost in ticks, plus `3 * SLACK` of all parameters where stages can overflow. `SLACK` is
for 64-bit floats: one that stands within 2^-49 of a whole number of ticks counts as that number, a roofline divides,
the latency of a link is added to the quotient of bytes and bandwidth, and a decimal of the file was read to the nearest
float: together less than 2^-49 + 8 * 2^-53. A dual bound in ticks, lowered by this much, is therefore a dual bound of
the file's own problem.

*Upper.* The incumbent is priced again from the graph, in rational numbers. A float is read in both ways a person may
mean it, as the binary fraction it is and as the shortest decimal that stands for it, and the answer holds for both.

*Between.* `Rounding.stage_ticks` bounds what any stage loses by rounding down. Where an instance is whole numbers from
the start, nothing is lost, and ticks and units say the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray
from framework.model.device import Device
from framework.model.device_chain import DeviceChain, Devices
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.memory import working_sets
from framework.model.problem import cut_tensors

SLACK = Fraction(1, 1 << 48)
"""How far, relatively, the product of a cost and the scale may be above the file's own number."""

MAX_DECIMALS = 200_000
"""Distinct costs whose decimals are summed; beyond, sums of their floats are raised by what they can differ."""

_LARGEST_PRINTED = 2.0**53

Values = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rounding:
    """How costs in ticks and costs in the unit of the file differ.

    Attributes
    ----------
    ticks_per_unit
        Ticks of one unit.
    exact
        Whether ticks are the file's own numbers.
    stage_ticks
        A stage that cuts no capped tensor loses at most so many ticks by rounding.
    parameter_ticks
        All parameters together, in ticks; 0 where no stage can overflow.
    capped_tensors
        Number of tensors that are dearer than the whole graph in one stage, and count as just that.
    """

    ticks_per_unit: float
    exact: bool
    stage_ticks: int = 0
    parameter_ticks: int = 0
    capped_tensors: int = 0

    def lower(self, ticks: int) -> float:
        """Return, in the unit, what an optimum of at least so many ticks costs at least."""
        value = Fraction(ticks)
        if not self.exact:
            value = max(Fraction(0), value - 3 * SLACK * self.parameter_ticks) / (1 + SLACK)
        return float_below(value / Fraction(self.ticks_per_unit))

    def upper(self, ticks: int) -> float:
        """Return, in the unit, what a stage of so many ticks that cuts no capped tensor costs at most."""
        value = self.upper_fraction(ticks)
        return Exact(value, value).rounded_up()

    def upper_fraction(self, ticks: int) -> Fraction:
        """Return `upper` as a rational number."""
        value = Fraction(ticks)
        if not self.exact:
            value = (value + self.stage_ticks + 3 * SLACK * self.parameter_ticks) * (1 + SLACK)
        return value / Fraction(self.ticks_per_unit)


class Exact(NamedTuple):
    """A sum of costs, its floats read as the binary fractions they are, and as the decimals that they print as."""

    binary: Fraction
    decimal: Fraction

    def rounded_up(self) -> float:
        """Return the smallest float that is at least as large in both readings, each held against its own."""
        number = max(_nearest(self.binary), _nearest(self.decimal))
        while not math.isinf(number) and (Fraction(number) < self.binary or _decimal(number) < self.decimal):
            number = math.nextafter(number, math.inf)
        return number


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactStage:
    """What one stage costs, in the unit of the graph."""

    work: Exact
    inbound: Exact
    outbound: Exact
    overflow: Exact
    total: Exact


def exact_bottleneck(costs: Sequence[ExactStage]) -> Exact:
    """Return the largest cost of a stage."""
    totals = [stage.total for stage in costs]
    return Exact(max(total.binary for total in totals), max(total.decimal for total in totals))


def exact_stage_costs(
    graph: ModelGraph, device: Devices | None, stage_of: IntArray, stages: int, *, streamed: bool = True
) -> list[ExactStage]:
    """Price a partition of a graph in rational numbers, from the definition alone; one entry a stage.

    Parameters
    ----------
    graph, device
        What is priced, and by what (None for a graph that carries its prices): one device, or one for each stage.
    stage_of
        ``[n]`` stage of each node in the order of the graph; every edge goes to the same or a later stage.
    stages
        Number of stages.
    streamed
        Whether parameters beyond the fast memory are streamed in; not where a hard limit on memory takes its place.
    """
    if isinstance(device, DeviceChain):
        # As every kind of device prices all stages; each stage is taken from its own.
        kinds = [exact_stage_costs(graph, kind, stage_of, stages, streamed=streamed) for kind in device.kinds]
        return [kinds[kind][b] for b, kind in enumerate(device.kind_of_stage)]
    cut = cut_tensors(graph.topology, np.asarray(stage_of, np.int64), stages)
    parameter, holder = graph.shared.held(np.asarray(stage_of, np.int64))
    streams = graph.costs.streams if isinstance(graph.costs, PhysicalCosts) else 1
    readings: list[list[tuple[Fraction, ...]]] = []
    for decimal in (False, True):
        work = _sum_parts(_work_parts(graph, device), stage_of, stages, decimal)
        tensors, parameters, shared, capacity, per = _byte_costs(graph, device)
        divisor, latency = _rational(per, decimal), _rational(_link_latency(graph, device), decimal)
        inbound = _transfers(cut.stage, tensors[cut.tensor], stages, decimal, divisor, latency)
        outbound = _transfers(cut.home, tensors[cut.leaving], stages, decimal, divisor, latency)
        held = _sums(stage_of, parameters, stages, decimal)
        for keys, sizes in ((holder, shared[parameter]), *_beside_parameters(graph, device, stage_of, stages)):
            for b, size in enumerate(_sums(keys, sizes, stages, decimal)):
                held[b] += size
        limit = None if capacity is None or not streamed else _rational(capacity, decimal)
        rows = []
        for b in range(stages):
            overflow = Fraction(0) if limit is None else max(Fraction(0), held[b] - limit) * streams / divisor
            parts: tuple[Fraction, ...] = (work[b], inbound[b], outbound[b], overflow)
            rows.append((*parts, sum(parts, Fraction(0))))
        readings.append(rows)
    return [
        ExactStage(work=work, inbound=inbound, outbound=outbound, overflow=overflow, total=total)
        for work, inbound, outbound, overflow, total in (
            map(Exact, binary, decimal) for binary, decimal in zip(*readings, strict=True)
        )
    ]


def float_below(value: Fraction) -> float:
    """Return the largest float that is at most a rational number, as a binary fraction and as it prints."""
    number = _nearest(value)
    while Fraction(number) > value or _decimal(number) > value:
        number = math.nextafter(number, -math.inf)
    return number


def _nearest(value: Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        largest = math.nextafter(math.inf, 0.0)
        return largest if value > 0 else -largest


def _decimal(number: float) -> Fraction:
    return Fraction(repr(number))


def _rational(number: float, decimal: bool) -> Fraction:
    return _decimal(number) if decimal and isinstance(number, float) else Fraction(number)


def _work_parts(graph: ModelGraph, device: Device | None) -> Iterator[tuple[NDArray[np.bool_], Values, float]]:
    """Yield (which nodes, their numerators, the denominator): measured times, or what bounds them in the roofline."""
    costs = graph.costs
    every = np.ones(graph.topology.n, np.bool_)
    if not isinstance(costs, PhysicalCosts):
        yield every, costs.work, 1
        return
    seconds = costs.seconds_on(None if device is None else device.name)
    unknown = np.isnan(seconds)
    yield ~unknown, seconds, 1
    if not unknown.any():
        return
    assert device is not None
    assert device.peak_flops is not None
    assert device.memory_bandwidth is not None
    computing = costs.flops / device.peak_flops
    moving = costs.accessed_bytes / device.memory_bandwidth
    bound_by_compute = computing >= moving
    close = unknown & (np.abs(computing - moving) <= 1e-14 * computing)
    for v in np.flatnonzero(close).tolist():
        exact = Fraction(float(costs.flops[v])) / Fraction(device.peak_flops)
        bound_by_compute[v] = exact >= Fraction(float(costs.accessed_bytes[v])) / Fraction(device.memory_bandwidth)
    yield unknown & bound_by_compute, costs.flops, device.peak_flops
    yield unknown & ~bound_by_compute, costs.accessed_bytes, device.memory_bandwidth


def _sum_parts(
    parts: Iterator[tuple[NDArray[np.bool_], Values, float]], keys: IntArray, k: int, decimal: bool
) -> list[Fraction]:
    totals = [Fraction(0)] * k
    for which, values, per in parts:
        divisor = _rational(per, decimal)
        for b, value in enumerate(_sums(keys[which], values[which], k, decimal)):
            totals[b] += value / divisor
    return totals


def _byte_costs(graph: ModelGraph, device: Device | None) -> tuple[Values, Values, Values, float | None, float]:
    """Return tensors, nodes' own parameters, shared ones, capacity as the file has them, and what divides them all."""
    costs = graph.costs
    if not isinstance(costs, PhysicalCosts):
        return costs.tensor_cost, costs.parameter_cost, costs.shared_cost, costs.capacity, 1
    assert device is not None
    assert device.link_bandwidth is not None
    memory = device.fast_memory
    capacity = None if memory is None or math.isinf(memory) else memory
    return costs.tensor_bytes, costs.parameter_bytes, costs.shared_bytes, capacity, device.link_bandwidth


def _beside_parameters(
    graph: ModelGraph, device: Device | None, stage_of: IntArray, stages: int
) -> list[tuple[IntArray, Values]]:
    """Return what else the fast memory holds, and of which stage it is: state, and the largest working sets."""
    if device is None or not device.activations or not isinstance(graph.costs, PhysicalCosts):
        return []
    largest = np.zeros(stages, np.int64)
    np.maximum.at(largest, stage_of, working_sets(graph))
    return [(stage_of, graph.costs.state_bytes), (np.arange(stages), largest)]


def _link_latency(graph: ModelGraph, device: Device | None) -> float:
    """Return the seconds that each tensor with bytes costs beside them; 0 where the graph carries its prices."""
    return 0.0 if device is None or not isinstance(graph.costs, PhysicalCosts) else device.link_latency


def _transfers(
    keys: IntArray, sizes: Values, k: int, decimal: bool, divisor: Fraction, latency: Fraction
) -> list[Fraction]:
    """Return what the tensors of each key cost, ``[k]``: each its size over the divisor, and the latency if any."""
    handed_over = np.bincount(keys[sizes > 0], minlength=k).tolist()
    totals = _sums(keys, sizes, k, decimal)
    return [size / divisor + count * latency for size, count in zip(totals, handed_over, strict=True)]


def _sums(keys: IntArray, values: Values, k: int, decimal: bool) -> list[Fraction]:
    """Return the exact sum of the values of each key, ``[k]``."""
    totals = [Fraction(0)] * k
    if not len(values):
        return totals
    # Up to 2^53 a whole float prints as itself; beyond, its shortest decimal may be another whole number.
    whole = np.issubdtype(values.dtype, np.integer) or bool(
        np.all((np.trunc(values) == values) & (values <= _LARGEST_PRINTED))
    )
    distinct, which = np.unique(values, return_inverse=True)
    pairs, times = np.unique(keys * len(distinct) + which, return_counts=True)
    if decimal and not whole and len(pairs) > MAX_DECIMALS:
        # Each decimal differs from its float by at most half of the last place.
        return [total * (1 + Fraction(1, 1 << 53)) for total in _sums(keys, values, k, False)]
    read = _decimal if decimal and not whole else Fraction
    numbers = [read(value).as_integer_ratio() for value in distinct.tolist()]
    # Few denominators, so that almost all additions are of whole numbers.
    held: list[dict[int, int]] = [{} for _ in range(k)]
    for pair, count in zip(pairs.tolist(), times.tolist(), strict=True):
        key, index = divmod(pair, len(distinct))
        numerator, denominator = numbers[index]
        held[key][denominator] = held[key].get(denominator, 0) + numerator * count
    for b, by_denominator in enumerate(held):
        totals[b] = sum((Fraction(total, below) for below, total in by_denominator.items()), Fraction(0))
    return totals

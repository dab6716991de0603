"""Problems next to a solved one: links twice as fast, twice the memory, one device more; each with its own bounds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from framework.model.device import Device
from framework.model.device_chain import DeviceChain, Devices, kinds_of
from framework.model.graph import ModelGraph, PricedCosts
from framework.model.instance import MAX_STAGES
from framework.portfolio.constraints import MOST_MEMORY, Constraints
from framework.portfolio.result import Result
from framework.portfolio.settings import Settings

LINK, MEMORY, DEVICE = "link twice as fast", "memory twice as large", "one device more"


@dataclass(frozen=True, slots=True, kw_only=True)
class WhatIf:
    """A problem next to the one that was solved.

    Attributes
    ----------
    name
        What is different.
    result
        Its own result.
    gain_at_most
        The most by which it can lower the bottleneck that was found, as a share of it; None where nothing is proved.
    gain_found
        By how much the best partition found lowers it; None where none was found.
    """

    name: str
    result: Result
    gain_at_most: float | None
    gain_found: float | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        result = self.result
        return {
            "name": self.name,
            "stages": result.stages,
            "dual_bound": result.dual_bound,
            "incumbent": result.incumbent,
            "status": result.status.value,
            "gain_at_most": self.gain_at_most,
            "gain_found": self.gain_found,
        }


class Change(NamedTuple):
    """What a row solves."""

    name: str
    graph: ModelGraph
    stages: int
    settings: Settings
    constraints: Constraints
    start: Result | None


Solver = Callable[[Change], Result]
"""Solves a row; it may start from `Change.start`, the result that is explained."""


def what_if(
    result: Result, graph: ModelGraph, settings: Settings, solve: Solver, stopped: Callable[[], bool]
) -> tuple[WhatIf, ...]:
    """Solve the problems next to that of a result.

    Parameters
    ----------
    settings
        Those of the run, with its device; each row has the whole budget.
    solve
        Solves a row.
    stopped
        Whether the rows that are left are to be left out.
    """
    rows = []
    for change in changes(result, graph, settings):
        if stopped():
            break
        found = solve(change)
        rows.append(
            WhatIf(
                name=change.name,
                result=found,
                gain_at_most=_gain(result.incumbent, found.dual_bound),
                gain_found=_gain(result.incumbent, found.incumbent),
            )
        )
    return tuple(rows)


def changes(result: Result, graph: ModelGraph, settings: Settings) -> Iterator[Change]:
    """Yield the problems next to that of a result; a change that would change nothing is left out."""
    limit = result.constraints.memory_limit
    given = Change(LINK, graph, result.stages, settings, result.constraints, result)
    yield given._replace(
        graph=_with_fast_links(graph, limited=limit is not None),
        settings=replace(settings, device=_changed(settings.device, _fast_link)),
    )
    limited = limit is not None or any(_holds_limited(kind) for kind in _kinds(settings.device))
    if limited or (isinstance(graph.costs, PricedCosts) and graph.costs.capacity is not None):
        larger = None if limit is None else min(2 * limit, MOST_MEMORY)
        yield given._replace(
            name=MEMORY,
            graph=_with_more_memory(graph),
            settings=replace(settings, device=_changed(settings.device, _more_memory)),
            constraints=replace(result.constraints, memory_limit=larger),
        )
    if result.stages < MAX_STAGES:
        device = settings.device
        if isinstance(device, DeviceChain):
            device = DeviceChain(devices=(*device.devices, device.devices[-1]))
        # With one more stage in training, each one has one more microbatch in flight, and may hold too much.
        start = result if graph.step is None else None
        longer = replace(settings, device=device)
        yield given._replace(name=DEVICE, stages=result.stages + 1, settings=longer, start=start)


def _gain(before: float | None, after: float | None) -> float | None:
    return None if not before or after is None else max(0.0, 1.0 - after / before)


def _kinds(device: Devices | None) -> tuple[Device, ...]:
    return () if device is None else tuple(kinds_of(device))


def _holds_limited(device: Device) -> bool:
    memory = device.fast_memory
    return device.memory_limit is not None or (memory is not None and not math.isinf(memory))


def _changed(device: Devices | None, change: Callable[[Device], Device]) -> Devices | None:
    if isinstance(device, DeviceChain):
        return DeviceChain(devices=tuple(change(one) for one in device.devices))
    return None if device is None else change(device)


def _fast_link(device: Device) -> Device:
    bandwidth = device.link_bandwidth
    return device if bandwidth is None else device.override(link_bandwidth=2 * bandwidth)


def _more_memory(device: Device) -> Device:
    limit, fast = device.memory_limit, device.fast_memory
    return replace(
        device,
        memory_limit=None if limit is None else 2 * limit,
        fast_memory=None if fast is None else 2 * fast,
    )


def _with_fast_links(graph: ModelGraph, *, limited: bool) -> ModelGraph:
    """Return a priced graph whose transfers, and streaming, take half the time; another graph as it is."""
    costs = graph.costs
    if not isinstance(costs, PricedCosts):
        return graph
    if limited:
        # A limit on memory counts parameters in this unit, and nothing is streamed.
        return replace(graph, costs=replace(costs, tensor_cost=costs.tensor_cost / 2))
    halves = replace(
        costs,
        tensor_cost=costs.tensor_cost / 2,
        parameter_cost=costs.parameter_cost / 2,
        shared_cost=costs.shared_cost / 2,
        capacity=None if costs.capacity is None else costs.capacity / 2,
    )
    return replace(graph, costs=halves)


def _with_more_memory(graph: ModelGraph) -> ModelGraph:
    costs = graph.costs
    if not isinstance(costs, PricedCosts) or costs.capacity is None:
        return graph
    return replace(graph, costs=replace(costs, capacity=2 * costs.capacity))

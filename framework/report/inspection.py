"""What can be said of a graph before anything is solved."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from framework.model.device_chain import DeviceChain, Devices
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.instance import Instance
from framework.model.pricing import parameters_in_unit
from framework.model.problem import Problem
from framework.report.console import open_console, styled
from framework.report.layout import FactTable
from framework.report.numbers import percent, quantity, scaled_unit
from framework.report.plots.graph import node_names
from framework.structure.primal.initial_interval import simple_bound
from framework.wording import counted

CANDIDATES = 8
STAGES = (2, 4, 8, 16, 32, 64)


def inspect_graph(
    graph: ModelGraph,
    instance: Instance,
    device: Devices | None = None,
    *,
    max_ideals: int,
    seconds: float,
    say: Callable[[str], None],
) -> dict[str, Any]:
    """Measure size, depth, width, ideals before and after exact reduction, and what may become the bottleneck.

    Parameters
    ----------
    device
        What priced the graph; None for a graph that carries its prices.
    max_ideals
        Stop counting ideals beyond this many.
    seconds
        Time for each of the two counts.
    say
        Told what is being done, for a progress display.
    """
    from framework.structure.poset.width import depths, width
    from framework.structure.reduction.dominance import reduce_exact

    say("exact reductions")
    reduced = reduce_exact(instance, load_kernels=False)
    shape: dict[str, Any] = {}
    for name, item in (("as read", instance), ("reduced", reduced)):
        say(f"{name}: width and ideals")
        ideals, complete = _count_ideals(item, max_ideals, seconds)
        shape[name] = {
            "nodes": item.n,
            "tensors": item.m,
            "edges": item.topology.edges,
            "depth": int(depths(item).max()) + 1,
            "width": width(item),
            "ideals": ideals,
            "ideals_complete": complete,
        }
    names = node_names(instance, graph.node_names)
    return {
        "name": graph.name,
        "source": graph.source,
        "remarks": list(graph.remarks),
        "unit": instance.unit,
        "ticks_per_unit": instance.ticks_per_unit,
        "total_work": instance.in_units(instance.total_work),
        "total_parameter_cost": parameters_in_unit(graph, device),
        "shared_parameters": _shared(graph),
        "capacity": instance.in_units(instance.capacity) if instance.can_overflow else None,
        "link_latency": None if device is None or isinstance(device, DeviceChain) else device.link_latency,
        "shape": shape,
        "bottleneck_candidates": _candidates(instance, names),
        "simple_bounds": {
            str(k): instance.in_units(simple_bound(Problem(instance=instance, stages=k)))
            for k in ((len(device.devices),) if isinstance(device, DeviceChain) else STAGES)
        },
    }


def print_inspection(facts: dict[str, Any]) -> None:
    """Print the facts as tables."""
    console = open_console()
    unit, factor = scaled_unit(facts["unit"], facts["total_work"])
    console.print(styled(facts["name"], "bold") + styled(f" ({facts['source']})"))
    parts = [f"work {quantity(facts['total_work'] * factor)} {unit}"]
    if facts["total_parameter_cost"]:
        parts.append(f"parameters {quantity(facts['total_parameter_cost'] * factor)} {unit} to stream")
    if facts["capacity"] is not None:
        parts.append(f"a stage holds {quantity(facts['capacity'] * factor)} {unit} of them")
    if facts["link_latency"]:
        parts.append(f"a tensor handed over {quantity(facts['link_latency'] * factor)} {unit} beside its bytes")
    console.print(", ".join(parts))
    shared = facts["shared_parameters"]
    if shared["count"]:
        what = counted(shared["count"], "parameter is", "parameters are")
        size = f"{shared['size']:,.12g} {shared['unit']}"
        console.print(f"{what} shared by several nodes, {size} in all: a stage holds each once")
    shape = FactTable("shape")
    shape.texts("")
    shape.numbers("nodes", "tensors", "edges", "depth", "width", "ideals")
    for name, row in facts["shape"].items():
        ideals = f"{row['ideals']:,}" if row["ideals_complete"] else f"> {row['ideals']:,}"
        shape.row(name, *(f"{row[key]:,}" for key in ("nodes", "tensors", "edges", "depth", "width")), ideals)
    console.print(shape)
    candidates = FactTable(f"bottleneck candidates, in {unit}")
    candidates.texts("node")
    candidates.numbers("work", "alone in a stage", "of all work")
    for row in facts["bottleneck_candidates"]:
        candidates.row(
            row["node"], quantity(row["work"] * factor), quantity(row["alone"] * factor), percent(row["share"])
        )
    console.print(candidates)
    bounds = FactTable(f"simple bound by number of stages, in {unit}")
    bounds.numbers(*(f"k = {k}" for k in facts["simple_bounds"]))
    bounds.row(*(quantity(value * factor) for value in facts["simple_bounds"].values()))
    console.print(bounds)
    for remark in facts["remarks"]:
        console.print(f"note: {remark}", style="yellow")


def _count_ideals(instance: Instance, max_ideals: int, seconds: float) -> tuple[int, bool]:
    from framework.structure.ideals.lattice import count_ideals

    deadline = time.monotonic() + seconds
    return count_ideals(instance, max_ideals=max_ideals, should_stop=lambda: time.monotonic() > deadline)


def _shared(graph: ModelGraph) -> dict[str, Any]:
    """Return how many parameters several nodes use, and the size of all of them."""
    costs = graph.costs
    sizes = costs.shared_bytes if isinstance(costs, PhysicalCosts) else costs.shared_cost
    unit = "bytes" if isinstance(costs, PhysicalCosts) else costs.unit
    return {"count": len(graph.shared), "size": sizes.sum().item(), "unit": unit}


def _candidates(instance: Instance, names: list[str]) -> list[dict[str, Any]]:
    """The nodes with the most work, and what a stage that holds nothing else would cost."""
    from framework.structure.flow.convex_cuts import costs_alone

    alone = costs_alone(instance)
    total = max(1, instance.total_work)
    chosen = np.argsort(-instance.work, kind="stable")[:CANDIDATES].tolist()
    return [
        {
            "node": names[v],
            "work": instance.in_units(int(instance.work[v])),
            "alone": instance.in_units(int(alone[v])),
            "share": int(instance.work[v]) / total,
        }
        for v in chosen
    ]

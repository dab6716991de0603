"""Three pipelines of different devices: the proven partition against naive splits and the answer for equal devices.

    python scripts/benchmarks/methods/devices.py [--budget 20] [--json]

Edge devices of four kinds in a row; an accelerator behind a server's processor; and equal accelerators of which the two
in the middle have a slow link. Where no preset serves, figures are made up. Every split is priced on the true devices.
`equal devices` is what `solve` answers if every stage is said to be the device that comes first in the row.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass

import numpy as np

from framework.formats import read_graph
from framework.layouts.naive import naive_partitions
from framework.model.device import Device, load_device
from framework.model.device_chain import DeviceChain
from framework.model.exact import exact_bottleneck, exact_stage_costs
from framework.model.graph import ModelGraph
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.registry import load_plugins
from framework.report.console import open_console
from framework.report.layout import FactTable
from framework.report.numbers import percent, quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A graph, and the device of every stage."""

    title: str
    graph: str
    devices: tuple[Device, ...]


def examples() -> tuple[Example, ...]:
    camera = Device(name="camera", peak_flops=2e11, memory_bandwidth=1e10, link_bandwidth=1.2e8, fast_memory=4e6)
    hub = Device(name="hub", peak_flops=8e11, memory_bandwidth=2e10, link_bandwidth=3e8, fast_memory=3.2e7)
    gateway = Device(name="gateway", peak_flops=2e12, memory_bandwidth=5e10, link_bandwidth=1e9)
    fast = load_device("reference")
    slow = Device(
        name="reference-slow",
        peak_flops=fast.peak_flops,
        memory_bandwidth=fast.memory_bandwidth,
        link_bandwidth=1e9,
        fast_memory=fast.fast_memory,
    )
    edge = (camera, hub, load_device("edge-tpu"), gateway)
    server = (load_device("xeon-8380"), load_device("tpu-v5e"))
    return (
        Example(title="an edge chain of 4 kinds", graph="torchvision-mobilenet_v3_large", devices=edge),
        Example(title="CPU and accelerator", graph="transformers-bert", devices=server),
        Example(title="a slow link in the middle", graph="resnet50", devices=(fast, slow, slow, fast)),
    )


def rows_of(example: Example, budget: float) -> list[tuple[str, float]]:
    """Return what each split costs on the true devices, in seconds; the first row is the dual bound."""
    graph = read_graph(f"testbed:{example.graph}")
    chain, stages = DeviceChain(devices=example.devices), len(example.devices)
    result = solve(graph, stages, settings=Settings(device=chain, budget=budget))
    equal = solve(graph, stages, settings=Settings(device=example.devices[0], budget=budget))
    assert result.dual_bound is not None
    assert result.incumbent is not None
    assert equal.stage_of is not None
    rows = [("dual bound", result.dual_bound), ("solve", result.incumbent)]
    rows.append(("equal devices", cost(graph, chain, np.array(equal.stage_of, np.int64))))
    rows += [(name, cost(graph, chain, stage_of)) for name, stage_of in naive_partitions(graph, stages).items()]
    return rows


def cost(graph: ModelGraph, chain: DeviceChain, stage_of: np.ndarray[tuple[int], np.dtype[np.int64]]) -> float:
    return exact_bottleneck(exact_stage_costs(graph, chain, stage_of, len(chain.devices))).rounded_up()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budget", type=float, default=20.0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    load_plugins()
    document = []
    for example in examples():
        rows = rows_of(example, options.budget)
        document.append({"title": example.title, "graph": example.graph, "rows": rows})
        if options.json:
            continue
        bound = rows[0][1]
        name = DeviceChain(devices=example.devices).name
        table = FactTable(f"{example.title}: {example.graph} on {name}, bottleneck in ms")
        table.texts("split")
        table.numbers("bottleneck", "above the bound")
        for split, seconds in rows:
            table.row(split, quantity(1e3 * seconds), percent(seconds / bound - 1))
        open_console().print(table)
    if options.json:
        json.dump(document, sys.stdout, indent=1)


if __name__ == "__main__":
    main()

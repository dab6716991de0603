"""What `inspect` says of a graph: shared parameters once, in totals, in stages, and in words."""

from __future__ import annotations

import json

import pytest

from framework.formats.native import parse
from framework.model.device import load_device
from framework.model.graph import ModelGraph
from framework.model.pricing import price
from framework.report.inspection import inspect_graph, print_inspection

DEVICE = load_device("reference").override(fast_memory=100.0)


def tied() -> ModelGraph:
    """A chain whose ends use one table of 1,000 bytes."""
    nodes = [
        {"name": name, "op": "MatMul", "flops": 100, "parameter_bytes": own, "accessed_bytes": 10}
        for name, own in (("embed", 0), ("layer", 250), ("head", 50))
    ]
    document = {
        "format": "pipebound-graph",
        "version": 2,
        "nodes": nodes,
        "tensors": [{"producer": v, "bytes": 1, "consumers": [v + 1]} for v in (0, 1)],
        "parameters": [{"bytes": 1000, "users": [0, 2], "name": "table"}],
    }
    return parse(json.dumps(document).encode(), "tied.json")


def test_shared_parameters_are_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    instance = price(tied(), DEVICE)
    facts = inspect_graph(tied(), instance, DEVICE, max_ideals=100, seconds=60, say=lambda _: None)
    bandwidth = DEVICE.link_bandwidth
    assert bandwidth is not None
    assert facts["shared_parameters"] == {"count": 1, "size": 1000.0, "unit": "bytes"}
    assert facts["total_parameter_cost"] == pytest.approx(1300 / bandwidth)
    alone = {row["node"]: row["alone"] - row["work"] for row in facts["bottleneck_candidates"]}
    assert alone == pytest.approx(
        {"embed": 901 / bandwidth, "layer": 152 / bandwidth, "head": 951 / bandwidth}, rel=1e-3
    )
    print_inspection(facts)
    said = " ".join(capsys.readouterr().out.split())
    assert "1 parameter is shared by several nodes, 1,000 bytes in all: a stage holds each once" in said

"""A small model of layers, as torch's reader names its nodes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from framework.formats.native import parse
from framework.model.arrays import IntArray
from framework.model.device import Device
from framework.model.graph import ModelGraph
from framework.portfolio.constraints import Constraints
from framework.portfolio.records import GraphRecord
from framework.portfolio.result import Result
from tests.results import made_result

LAYER = ("norm.mul", "attn.mm", "attn.softmax", "add.1", "mlp.mm", "add.2")


def layered(layers: int = 4, *, seconds: Sequence[float] = (), name: str = "small") -> ModelGraph:
    """A decoder: an embedding, layers with residual edges, a norm, a head; 2 bytes of parameters a matrix product."""
    names = ["model.embed_tokens.embedding"]
    edges: list[tuple[int, int]] = []
    for i in range(layers):
        first, before = len(names), len(names) - 1
        names += [f"model.layers.{i}.{op}" for op in LAYER]
        edges += [(before, first), (first, first + 1), (first + 1, first + 2), (first + 2, first + 3)]
        edges += [(before, first + 3), (first + 3, first + 4), (first + 4, first + 5), (first + 3, first + 5)]
    edges += [(len(names) - 1, len(names)), (len(names), len(names) + 1)]
    names += ["model.norm.mul", "lm_head.mm"]
    return of_edges(names, edges, seconds=seconds or [1e-3] * len(names), name=name)


def of_edges(
    names: Sequence[str], edges: Sequence[tuple[int, int]], *, seconds: Sequence[float] = (), name: str = "small"
) -> ModelGraph:
    """A graph of nodes that take so long, with tensors of 1000 bytes."""
    times = seconds or [1e-3] * len(names)
    nodes: list[dict[str, Any]] = [
        {
            "name": node,
            "op": node.rpartition(".")[2],
            "flops": 100,
            "parameter_bytes": 2 * node.endswith(("mm", "embedding")),
            "accessed_bytes": 10,
            "seconds": time,
        }
        for node, time in zip(names, times, strict=True)
    ]
    tensors = [
        {"producer": u, "bytes": 1000, "consumers": sorted(v for a, v in edges if a == u)}
        for u in sorted({u for u, _ in edges})
    ]
    document = {"format": "pipebound-graph", "version": 1, "name": name, "nodes": nodes, "tensors": tensors}
    return parse(json.dumps(document).encode(), f"{name}.graph.json")


def result_of(
    graph: ModelGraph, stage_of: Sequence[int] | IntArray, stages: int, constraints: Constraints | None = None
) -> Result:
    """A result whose partition is given; nothing is proved of it."""
    return made_result(
        graph=GraphRecord(name=graph.name, sha256=graph.sha256(), nodes=graph.topology.n),
        device=Device(name="test", peak_flops=1e12, memory_bandwidth=1e11, link_bandwidth=1e9),
        stage_of=tuple(map(int, stage_of)),
        stages=stages,
        node_names=graph.node_names,
        constraints=constraints or Constraints(),
        unit="s",
        incumbent=1.0,
    )

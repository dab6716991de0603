"""Which node goes where: the partition of a result file, matched with the model by the names of the nodes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from framework.errors import UserError
from framework.formats import BUNDLED_SCHEME, read_graph
from framework.formats.profile_note import read_note
from framework.model.arrays import IntArray
from framework.model.device_chain import Devices
from framework.model.graph import ModelGraph
from framework.model.instance import Instance
from framework.model.memory import memory_rows
from framework.model.pricing import price
from framework.portfolio.reading import stages_of
from framework.portfolio.records import GraphInput
from framework.portfolio.result import Result


class Splittable(Protocol):
    """A model that can be split: an ONNX model, or an exported program."""

    @property
    def path(self) -> Path:
        """Its file."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of the nodes of its model graph."""

    def read_graph(self, dims: Mapping[str, int], *, drop_unused: bool = False, kv_tokens: int = 0) -> ModelGraph:
        """Return its model graph."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Assignment:
    """A partition of a model.

    Attributes
    ----------
    stage_of
        Stage of each node of the model graph.
    graph
        The graph that was solved: read from the model, or measured by `pipebound profile`.
    dims
        Sizes of symbolic dimensions that it was solved for.
    device
        What the result was priced by.
    predicted
        What the result says of inferences with it, for a manifest; None if it is of training.
    """

    stage_of: list[int]
    graph: ModelGraph
    dims: dict[str, int]
    device: Devices | None
    predicted: dict[str, Any] | None

    def priced(self) -> tuple[Instance, IntArray]:
        """Return the instance that the result is of, and the stage of each of its nodes."""
        instance = price(self.graph, self.device)
        stages = np.empty(instance.n, np.int64)
        stages[instance.node_of_input] = self.stage_of
        return instance, stages


def assign(
    model: Splittable, result: Result, *, graph_path: str | None = None, dims: Mapping[str, int] | None = None
) -> Assignment:
    """Match the partition of a result with a model.

    The result may be of the model itself, or of a graph with the same nodes (a profile of it).

    Parameters
    ----------
    graph_path
        The graph that was solved; by default the path in the result.
    dims
        Sizes of symbolic dimensions; by default those that the graph was read or measured with.

    Raises
    ------
    UserError
        If the result holds no partition, or is of a graph with other nodes.
    """
    origin = result.graph
    if result.stage_of is None:
        raise UserError("the result holds no partition", where=origin.name)
    read = origin.input
    path = graph_path or (None if read is None else read.path)
    sizes = {**({} if read is None else read.dims), **(dims or {})}
    options = GraphInput(path="") if read is None else read
    graph = _same_model(model, sizes, origin.sha256, options)
    if graph is not None:
        # The model itself has the graph, wherever it is moved.
        path = None
    else:
        if path is None:
            raise UserError(
                "the result is not of this model as it stands, and names no graph file",
                where=str(model.path),
                hint="give `graph`, the file that was solved",
            )
        sizes = {**read_note(path).get("dims", {}), **sizes}
        graph = _same_nodes(model, result, path)
    stage_of = stages_of(result, graph.topology.n)
    return Assignment(
        stage_of=stage_of.tolist(),
        graph=graph,
        dims=sizes,
        device=result.device,
        predicted=None
        if graph.step is not None
        else {
            "unit": result.unit,
            "bottleneck": result.incumbent,
            "dual_bound": result.dual_bound,
            "status": result.status,
            "stages": result.stages,
            "stage_costs": [row.as_dict() for row in result.stage_costs],
            "stage_memory": memory_rows(graph, stage_of, result.stages),
            "graph": path if path is None or path.startswith(BUNDLED_SCHEME) else os.path.abspath(path),
            "device": None if result.device is None else result.device.as_dict(),
            "drop_unused": options.drop_unused,
            "kv_tokens": options.kv_tokens,
            "constraints": result.constraints.as_dict() if result.constraints else None,
        },
    )


def fused_groups(path: str) -> tuple[tuple[str, ...], ...]:
    """Return the sets of nodes that onnxruntime ran as one operator when a graph was profiled.

    A cut inside such a set undoes the fusion, at a price that no measured time tells.

    Raises
    ------
    UserError
        If the file is no profile.
    """
    operators = read_note(path).get("operators")
    if operators is None:
        raise UserError("this graph holds no profile", where=path, hint="'pipebound profile' measures one")
    sets = {tuple(row["nodes"]) for row in operators if len(row["nodes"]) > 1}
    return tuple(sorted(sets))


def _same_model(model: Splittable, dims: Mapping[str, int], sha256: str, options: GraphInput) -> ModelGraph | None:
    try:
        graph = model.read_graph(dims, drop_unused=options.drop_unused, kv_tokens=options.kv_tokens)
    except UserError:
        # Open dimensions, for instance: the solved graph may still name the same nodes.
        return None
    return graph if graph.is_called(sha256) else None


def _same_nodes(model: Splittable, result: Result, path: str) -> ModelGraph:
    read = result.graph.input or GraphInput(path=path)
    graph = read_graph(
        path,
        format=read.format,
        dims=read.dims,
        training=read.training or False,
        drop_unused=read.drop_unused,
        kv_tokens=read.kv_tokens,
    )
    if not graph.is_called(result.graph.sha256):
        hint = "give `graph`, the file that was solved, or solve again"
        raise UserError("this is not the graph that was solved", where=path, hint=hint)
    if graph.node_names != model.node_names:
        ours, theirs = set(model.node_names), set(graph.node_names)
        strangers = [name for name in graph.node_names if name not in ours] + [
            name for name in model.node_names if name not in theirs
        ]
        detail = f"; {strangers[0]!r} is in one only" if strangers else ""
        raise UserError(
            f"the graph that was solved has other nodes than {model.path}{detail}",
            where=path,
            hint="profile and solve this model",
        )
    return graph

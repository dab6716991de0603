"""The stages of a partition in an ONNX model itself, in the fields that the standard has for them.

ONNX 1.18 (version 11 of its format) describes the devices that a model is for (``configuration`` of the model) and, at
each node, its pipeline stage (``device_configurations`` of the node). Nothing else of the model changes, so every
runtime still runs it; viewers and compilers that know the fields see the stages. Nodes that compute constants have no
stage: what is constant is wherever it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from framework.deploy.onnx_model import ModelFile, open_model
from framework.deploy.split.assignment import assign
from framework.errors import UserError
from framework.formats.onnx.wiring import all_graphs
from framework.model.device_chain import Devices, device_of_stage
from framework.output_files import replacing
from framework.portfolio.result import Result

CONFIGURATION = "pipebound"
"""Name of the configuration; an earlier one of this name is replaced."""

FIRST_IR_VERSION = 11
"""The version of the format that has the fields."""


def annotate(
    path: Path,
    result: Result,
    output: Path,
    *,
    graph_path: str | None = None,
    dims: Mapping[str, int] | None = None,
) -> None:
    """Write a model with the stages of a result.

    Parameters
    ----------
    path, output
        The model, and where to write it. A model whose weights lie in other files has to stay beside them.
    graph_path, dims
        As for `framework.deploy.split.assignment.assign`.

    Raises
    ------
    UserError
        If the installed onnx is too old, the result is not of this model, or nothing can be written.
    """
    if not hasattr(onnx, "DeviceConfigurationProto"):
        raise UserError(f"onnx {onnx.__version__} has no pipeline stages", hint="pip install 'onnx>=1.18'")
    opened = open_model(path)
    assignment = assign(opened, result, graph_path=graph_path, dims=dims)
    proto = _whole(path, opened)
    outside = [tensor for graph in all_graphs(proto.graph) for tensor in graph.initializer if tensor.external_data]
    if outside and output.absolute().parent.resolve() != path.absolute().parent.resolve():
        raise UserError(
            "the weights of the model lie in files of their own", where=str(path), hint="write into its folder"
        )
    _describe(proto, result.stages, result.device)
    for (position, _), stage in zip(opened.placed, assignment.stage_of, strict=True):
        row = proto.graph.node[position].device_configurations.add()
        row.configuration_id = CONFIGURATION
        row.pipeline_stage = stage
    proto.ir_version = max(proto.ir_version, FIRST_IR_VERSION)
    try:
        with replacing(output) as temporary:
            temporary.write_bytes(proto.SerializeToString())
    except OSError as error:
        raise UserError(f"cannot be written: {error.strerror}", where=str(output)) from error


def _whole(path: Path, opened: ModelFile) -> onnx.ModelProto:
    """Return the model with the weights that it holds itself, once its nodes are known to be those that were solved."""
    try:
        proto = onnx.load_model(path, load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise UserError(f"cannot be read: {error}", where=str(path)) from None
    ours, theirs = (
        [(node.op_type, node.domain, list(node.output)) for node in model.graph.node] for model in (proto, opened.proto)
    )
    if ours != theirs:
        raise UserError(
            "its functions and branches on constants are inlined before it is split, and have no stages of their own",
            where=str(path),
            hint="inline them first, with onnx.inliner",
        )
    return proto


def _describe(proto: onnx.ModelProto, stages: int, device: Devices | None) -> None:
    """Put the configuration in the place of an earlier one of its name."""
    others = [row for row in proto.configuration if row.name != CONFIGURATION]
    del proto.configuration[:]
    proto.configuration.extend(others)
    for graph in all_graphs(proto.graph):
        for node in graph.node:
            kept = [row for row in node.device_configurations if row.configuration_id != CONFIGURATION]
            del node.device_configurations[:]
            node.device_configurations.extend(kept)
    row = proto.configuration.add()
    row.name, row.num_devices = CONFIGURATION, stages
    row.device.extend(
        f"stage {b}" if device is None else f"stage {b}: {device_of_stage(device, b).name}" for b in range(stages)
    )

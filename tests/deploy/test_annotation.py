"""Stages in an ONNX model's own fields: nothing else changes, and every tool still reads it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from framework.deploy.annotation import CONFIGURATION, annotate
from framework.deploy.onnx_model import open_model
from framework.errors import UserError
from framework.formats import read_graph
from framework.portfolio.records import GraphInput, GraphRecord
from framework.portfolio.result import Result
from tests.deploy.models import residual
from tests.layouts.graphs import result_of


def saved(folder: Path, *, external: bool = False) -> Path:
    path, model = folder / "model.onnx", residual()
    del model.graph.output[1]
    if external:
        onnx.save_model(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    else:
        onnx.save_model(model, path)
    return path


def halved(path: Path) -> Result:
    graph = read_graph(path)
    stage_of = [int(v >= 5) for v in range(graph.topology.n)]
    result = result_of(graph, stage_of, 2)
    record = GraphRecord(
        name=graph.name, sha256=graph.sha256(), nodes=graph.topology.n, input=GraphInput(path=str(path))
    )
    return replace(result, graph=record)


def test_each_node_has_its_stage_and_nothing_else_changes(tmp_path: Path) -> None:
    path, out = saved(tmp_path), tmp_path / "staged.onnx"
    result = halved(path)
    annotate(path, result, out)
    model = onnx.load(out)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version >= 11
    (configuration,) = model.configuration
    assert (configuration.name, configuration.num_devices) == (CONFIGURATION, 2)
    assert list(configuration.device) == ["stage 0: test", "stage 1: test"]
    stages = dict(zip(open_model(path).node_names, result.stage_of or (), strict=True))
    labels = open_model(out).placed
    for position, name in labels:
        (row,) = model.graph.node[position].device_configurations
        assert row.configuration_id == CONFIGURATION
        assert row.pipeline_stage == stages[name]
    for node in model.graph.node:
        del node.device_configurations[:]
    del model.configuration[:]
    model.ir_version = 8
    assert model.SerializeToString(deterministic=True) == onnx.load(path).SerializeToString(deterministic=True)


def test_a_second_time_replaces_the_first(tmp_path: Path) -> None:
    path, out, again = saved(tmp_path), tmp_path / "staged.onnx", tmp_path / "again.onnx"
    result = halved(path)
    annotate(path, result, out)
    annotate(out, replace(result, stage_of=tuple(1 for _ in result.stage_of or ())), again)
    model = onnx.load(again)
    assert len(model.configuration) == 1
    assert {row.pipeline_stage for node in model.graph.node for row in node.device_configurations} == {1}
    assert all(len(node.device_configurations) == 1 for node in model.graph.node)


def test_onnxruntime_still_runs_it(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path, out = saved(tmp_path), tmp_path / "staged.onnx"
    annotate(path, halved(path), out)
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    results = [
        onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, {"x": x})
        for file in (path, out)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))


def test_weights_in_files_of_their_own_keep_the_model_in_its_folder(tmp_path: Path) -> None:
    path = saved(tmp_path, external=True)
    result = halved(path)
    annotate(path, result, tmp_path / "staged.onnx")
    onnx.checker.check_model(str(tmp_path / "staged.onnx"))
    (tmp_path / "away").mkdir()
    with pytest.raises(UserError, match="write into its folder"):
        annotate(path, result, tmp_path / "away" / "staged.onnx")


def test_functions_have_no_stages(tmp_path: Path) -> None:
    model = residual()
    operators = [onnx.helper.make_opsetid("", 14)]
    function = onnx.helper.make_function(
        "own", "Twice", ["a"], ["b"], [onnx.helper.make_node("Add", ["a", "a"], ["b"])], operators
    )
    model.functions.append(function)
    model.opset_import.append(onnx.helper.make_opsetid("own", 1))
    model.graph.node.append(onnx.helper.make_node("Twice", ["y"], ["z"], domain="own", name="twice"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, [2, 200]))
    path = tmp_path / "model.onnx"
    onnx.save_model(model, path)
    with pytest.raises(UserError, match="inline them first"):
        annotate(path, halved(path), tmp_path / "staged.onnx")

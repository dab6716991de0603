"""Measured times reach the nodes that they are of."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from framework.deploy.assignment import read_note
from framework.deploy.fusion import groups, spread_times
from framework.deploy.model import ModelFile, open_model
from framework.deploy.profile import profile_model, write_profile
from framework.deploy.runtime import Optimization, open_session
from framework.errors import UserError
from framework.formats import read_graph
from framework.model.graph import PhysicalCosts
from tests.deploy.models import DIMS, MODELS, residual, transformer, write

pytest.importorskip("onnxruntime")


def rewritten(model: ModelFile, folder: Path, optimization: Optimization) -> onnx.GraphProto:
    open_session(model.path, optimization=optimization, profile=folder / "run").end_profiling()
    return onnx.load(folder / "run.onnx").graph


@pytest.mark.parametrize("optimization", list(Optimization))
@pytest.mark.parametrize("name", ["residual", "transformer", "control flow"])
def test_every_rewritten_operator_has_a_group(name: str, optimization: Optimization, tmp_path: Path) -> None:
    model = open_model(write(MODELS[name](), tmp_path / "m.onnx"))
    graph = rewritten(model, tmp_path, optimization)
    members = groups(model, graph)
    assert len(members) == len(graph.node)
    assert all(members)
    assert {v for group in members for v in group} <= set(range(len(model.placed)))


def test_without_rewriting_each_operator_is_its_own_group(tmp_path: Path) -> None:
    model = open_model(write(transformer(), tmp_path / "m.onnx"))
    graph = rewritten(model, tmp_path, Optimization.NONE)
    names = model.node_names
    for node, group in zip(graph.node, groups(model, graph), strict=True):
        if node.name in names:
            assert [names[v] for v in group] == [node.name]


def test_fused_operators_are_told_apart(tmp_path: Path) -> None:
    model = open_model(write(residual(), tmp_path / "m.onnx"))
    graph = rewritten(model, tmp_path, Optimization.EXTENDED)
    named = {frozenset(model.node_names[v] for v in group) for group in groups(model, graph)}
    # Conv and Relu run as one; the second Relu's result is also one of the model's, and is fused all the same.
    assert frozenset({"conv0", "r0"}) in named
    assert frozenset({"conv2", "r2"}) in named


def test_a_fusion_takes_the_operators_inside_it() -> None:
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], name="mean"),
        helper.make_node("Sub", ["x", "mean"], ["centred"], name="centre"),
        helper.make_node("Mul", ["centred", "centred"], ["square"], name="square"),
        helper.make_node("Add", ["square", "centred"], ["y"], name="last"),
        helper.make_node("Relu", ["y"], ["z"], name="relu"),
        helper.make_node("Neg", ["z"], ["result"], name="neg"),
    ]
    info = [helper.make_tensor_value_info(name, 1, [2, 2]) for name in ("x", "result")]
    model = ModelFile(path=Path("m.onnx"), proto=helper.make_model(helper.make_graph(nodes, "g", info[:1], info[1:])))
    run = helper.make_graph(
        [
            helper.make_node("Reorder", ["x"], ["moved"], name="moved"),
            helper.make_node("LayerNorm", ["moved"], ["hidden"], name="y_nchwc"),
            helper.make_node("Neg", ["hidden"], ["result"], name="neg"),
        ],
        "run",
        info[:1],
        info[1:],
    )
    assert groups(model, run) == [[0, 1, 2, 3, 4], [0, 1, 2, 3, 4], [5]]
    assert spread_times([1.0, 4.0, 2.0], [[0, 1], [1], [2]], [1.0, 3.0, 0.0], 4) == [0.25, 4.75, 2.0, 0.0]


@pytest.mark.parametrize("name", ["residual", "transformer", "control flow"])
def test_the_times_of_all_nodes_add_up(name: str, tmp_path: Path) -> None:
    model = open_model(write(MODELS[name](), tmp_path / "m.onnx"))
    profile = profile_model(model, dims=DIMS.get(name, {}), repetitions=5, warm_up=1)
    costs = profile.graph.costs
    assert isinstance(costs, PhysicalCosts)
    assert np.isfinite(costs.seconds).all()
    assert (costs.seconds >= 0).all()
    assert costs.seconds.sum() == pytest.approx(profile.kernels + profile.overhead, rel=1e-6)
    assert costs.seconds.sum() > 0
    assert profile.latency[0] <= profile.latency[1] <= profile.latency[2]
    assert profile.graph.node_names == model.node_names


def test_a_profile_is_a_graph_with_a_note(tmp_path: Path) -> None:
    model = open_model(write(transformer(), tmp_path / "m.onnx"))
    profile = profile_model(model, dims={"N": 3}, repetitions=3, warm_up=0)
    for name in ("p.graph.json", "p.graph.json.gz"):
        write_profile(profile, tmp_path / name)
        assert read_graph(tmp_path / name).sha256() == profile.graph.sha256()
        note = read_note(str(tmp_path / name))
        assert note["dims"] == {"N": 3}
        assert note["repetitions"] == 3
        assert json.dumps(note["operators"])
    assert read_note(str(tmp_path / "m.onnx")) == {}


def test_mistakes_are_told(tmp_path: Path) -> None:
    model = open_model(write(transformer(), tmp_path / "m.onnx"))
    with pytest.raises(UserError, match="--dim N=1"):
        profile_model(model)
    with pytest.raises(UserError, match="too few repetitions"):
        profile_model(model, dims={"N": 1}, repetitions=1)

"""Measured times reach the nodes that they are of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from framework.deploy.measurement import write_profile
from framework.deploy.onnx_model import ModelFile, open_model
from framework.deploy.runtime import Optimization, open_session
from framework.deploy.tuning.fusion import groups, spread_times
from framework.deploy.tuning.profile import _Runs, _warnings, profile_model
from framework.deploy.tuning.profile_times import operator_times
from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.profile_note import read_note
from framework.model.graph import PhysicalCosts
from tests.deploy.models import DIMS, MODELS, residual, transformer, write
from tests.deploy.odd_models import unused

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


def test_what_no_output_needs_is_not_run_if_dropped(tmp_path: Path) -> None:
    model = open_model(write(unused(), tmp_path / "m.onnx"))
    seconds = []
    for drop in (False, True):
        profile = profile_model(model, repetitions=3, warm_up=1, drop_unused=drop)
        assert profile.graph.node_names == ("first", "aux.mm", "aux.softmax", "last")
        assert isinstance(profile.graph.costs, PhysicalCosts)
        seconds.append(profile.graph.costs.seconds)
    assert (seconds[0] > 0).all()
    assert (seconds[1] > 0).tolist() == [True, False, False, True]
    assert [row["nodes"] for row in profile.operators] == [["first"], ["last"]]


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
    with pytest.raises(UserError, match=r"dims=\{'N': 1\}"):
        profile_model(model)
    with pytest.raises(UserError, match="too few repetitions"):
        profile_model(model, dims={"N": 1}, repetitions=1)


def loops(*, steps: int = 40) -> onnx.ModelProto:
    """Return a heavy node, an If with nodes of that name in its bodies, and a Loop of many small operators."""
    rng = np.random.default_rng(0)
    info = helper.make_tensor_value_info
    flag, whole, vector = (info(n, k, s) for n, k, s in (("c", 9, []), ("i", 7, []), ("h", 1, [1, 16])))
    chain = [helper.make_node("Tanh", [f"b{i}" if i else "h"], [f"b{i + 1}"], name="heavy") for i in range(6)]
    kept = helper.make_node("Identity", ["c"], ["co"])
    body = helper.make_graph([*chain, kept], "body", [whole, flag, vector], [info("co", 9, []), info("b6", 1, [1, 16])])
    branches = {
        f"{name}_branch": helper.make_graph(
            [helper.make_node(op, ["d"], [name], name="heavy")], name, [], [info(name, 1, [64, 16])]
        )
        for name, op in (("then", "Relu"), ("else", "Neg"))
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["d"], name="heavy"),
        helper.make_node("ReduceSum", ["d"], ["s"], name="sum", keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["positive"], name="greater"),
        helper.make_node("If", ["positive"], ["e"], name="if", **branches),
        helper.make_node("Slice", ["e", "start", "end", "start"], ["h0"], name="slice"),
        helper.make_node("Loop", ["trips", "", "h0"], ["y"], name="loop", body=body),
    ]
    stored = [
        onnx.numpy_helper.from_array(np.asarray(value), name)
        for name, value in (
            ("w", (rng.standard_normal((512, 16)) / 22).astype(np.float32)),
            ("zero", np.float32(0)),
            ("start", np.array([0])),
            ("end", np.array([1])),
            ("trips", np.array(steps)),
        )
    ]
    graph = helper.make_graph(nodes, "loops", [info("x", 1, [64, 512])], [info("y", 1, [1, 16])], stored)
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def test_bodies_are_told_from_the_main_graph(tmp_path: Path) -> None:
    model = open_model(write(loops(), tmp_path / "m.onnx"))
    profile = profile_model(model, repetitions=5, warm_up=1)
    costs = profile.graph.costs
    assert isinstance(costs, PhysicalCosts)
    assert costs.seconds.sum() <= profile.latency[1] * (1 + 1e-9)
    rows = {row["name"]: row for row in profile.operators}
    assert rows["heavy"]["op"] == "MatMul"
    assert rows["heavy"]["quartiles"][1] > 0


def test_the_profiler_s_overhead_is_taken_off() -> None:
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["d"], name="heavy"),
            helper.make_node("Loop", ["", "", "d"], ["y"], name="loop", body=onnx.GraphProto(name="body")),
            helper.make_node("Relu", ["y"], ["z"], name="after"),
        ],
        "g",
        [],
        [],
    )
    events: list[dict[str, Any]] = []

    def event(name: str, begin: float, end: float, index: int) -> None:
        arguments = {"node_index": str(index)}
        events.append(
            {"cat": "Node", "name": f"{name}_kernel_time", "ts": begin, "dur": end - begin, "args": arguments}
        )

    for run in range(3):
        at = 10_000 * run
        event("heavy", at, at + 300, 0)
        for i in range(10):
            # A node of the body may have the name of one of the main graph.
            event("heavy", at + 310 + 90 * i, at + 320 + 90 * i, i)
        event("loop", at + 300, at + 1300, 1)
        event("after", at + 1300, at + 1300, 2)
    times = operator_times(graph, events, [500e-6, 510e-6, 505e-6])
    assert times.medians.tolist() == pytest.approx([300e-6, 205e-6, 0.0])
    assert times.between == 0.0
    assert "79.5 us were taken off for each of the 10 operators" in times.remarks[0]
    # Without bodies, what is too much is scaled.
    del graph.node[1]
    plain = [entry for entry in events if entry["name"].startswith("after") or entry["dur"] == 300]
    scaled = operator_times(graph, plain, [200e-6] * 3)
    assert scaled.medians.sum() == pytest.approx(200e-6)
    assert "scaled by 0.67" in scaled.remarks[0]
    faster = operator_times(graph, plain, [400e-6] * 3)
    assert faster.medians.sum() == pytest.approx(300e-6)
    assert faster.between == pytest.approx(100e-6)


@pytest.mark.parametrize(
    ("runs", "explained", "words"),
    [
        (_Runs(latency=[1.0, 1.0, 1.0], events=[], core_share=1.0), 0.95, ()),
        (_Runs(latency=[1.0, 1.5, 2.0], events=[], core_share=1.0), 1.4, ("quartiles",)),
        (_Runs(latency=[1.0, 1.0, 1.0], events=[], core_share=0.5), 0.95, ("50% of a core",)),
        (
            _Runs(latency=[0.2, 1.0, 1.0], events=[], core_share=0.3),
            0.2,
            ("quartiles", "30%", "explain 200 ms of the 1000"),
        ),
    ],
)
def test_what_speaks_against_a_profile_is_said(runs: _Runs, explained: float, words: tuple[str, ...]) -> None:
    low, middle, high = (float(v) for v in np.quantile(runs.latency, (0.25, 0.5, 0.75)))
    found = _warnings(runs, (low, middle, high), explained)
    assert len(found) == len(words)
    assert all("do not trust this" in line and word in line for line, word in zip(found, words, strict=True))


def test_a_budget_leaves_out_repetitions(tmp_path: Path) -> None:
    model = open_model(write(residual(), tmp_path / "m.onnx"))
    profile = profile_model(model, repetitions=50, warm_up=1, budget=1e-9)
    assert profile.repetitions == 3
    assert profile.remarks[0] == "3 of 50 repetitions, for the budget of 1e-09 s"

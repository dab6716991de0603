"""Loops, scans and branches: what they cost, how often they run, what is said where nobody knows."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from framework.formats.onnx.reader import parse
from framework.model.graph import ModelGraph, PhysicalCosts

D = 8
Stored: TypeAlias = dict[str, np.ndarray]
PRODUCT = 2 * 4 * D * D
"""Operations of a product of (4, D) by (D, D)."""


def info(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def read(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    stored: Stored,
    dims: dict[str, int] | None = None,
    opset: int = 17,
) -> ModelGraph:
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    model = helper.make_model(
        helper.make_graph(nodes, "g", inputs, outputs, tensors),
        opset_imports=[helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )
    return parse(model.SerializeToString(), "m.onnx", dims=dims)


def flops(graph: ModelGraph) -> dict[str, float]:
    assert isinstance(graph.costs, PhysicalCosts)
    return dict(zip(graph.node_names, graph.costs.flops.tolist(), strict=True))


def loop(level: int, body: list[onnx.NodeProto], bound: str, source: str, result: str, name: str) -> onnx.NodeProto:
    """A Loop whose body makes o{level} of h{level}."""
    graph = helper.make_graph(
        [*body, helper.make_node("Identity", [f"c{level}"], [f"again{level}"])],
        f"body{level}",
        [
            info(f"i{level}", kind=TensorProto.INT64),
            info(f"c{level}", kind=TensorProto.BOOL),
            info(f"h{level}", 4, D),
        ],
        [info(f"again{level}", kind=TensorProto.BOOL), info(f"o{level}", 4, D)],
    )
    return helper.make_node("Loop", [bound, "", source], [result], name=name, body=graph)


def nested(bounds: list[int], *, dims: dict[str, int] | None = None) -> ModelGraph:
    """Loops one in another, the outermost first, around one product."""
    depth = len(bounds)
    node = helper.make_node("MatMul", [f"h{depth}", "W"], [f"o{depth}"], name="product")
    for level in range(depth, 0, -1):
        outer = level == 1
        node = loop(
            level,
            [node],
            f"M{level}",
            "x" if outer else f"h{level - 1}",
            "y" if outer else f"o{level - 1}",
            f"loop{level}",
        )
    stored: Stored = {"W": np.zeros((D, D), np.float32)}
    stored |= {f"M{i + 1}": np.array(bound, np.int64) for i, bound in enumerate(bounds)}
    return read([node], [info("x", 4, D)], [info("y", 4, D)], stored, dims)


@pytest.mark.parametrize("bounds", [[10], [10, 20], [3, 1, 5, 7], [2] * 8])
def test_trips_multiply_to_any_depth(bounds: list[int]) -> None:
    graph = nested(bounds)
    assert flops(graph) == {"loop1": float(np.prod(bounds)) * PRODUCT}
    # The weight is stored once, whatever runs over it.
    assert isinstance(graph.costs, PhysicalCosts)
    assert graph.costs.parameter_bytes.tolist() == [4 * D * D + 8 * len(bounds)]


@pytest.mark.parametrize("bound", [2**63 - 1, 2**31 - 1, 2**31, 10**9])
def test_a_bound_that_only_means_until_stopped_counts_once(bound: int) -> None:
    graph = nested([bound])
    assert flops(graph) == {"loop1": PRODUCT}
    assert any(f"counts once: 'loop1' (bound {bound}) (set it with --dim loop1=20)" in r for r in graph.remarks)
    assert flops(nested([bound], dims={"loop1": 20})) == {"loop1": 20 * PRODUCT}


def test_an_inner_loop_is_named_by_its_way_in() -> None:
    graph = nested([10, 2**63 - 1])
    assert flops(graph) == {"loop1": 10 * PRODUCT}
    assert any("'loop1/loop2' (bound 9223372036854775807)" in remark for remark in graph.remarks)
    assert flops(nested([10, 2**63 - 1], dims={"loop1/loop2": 4})) == {"loop1": 40 * PRODUCT}


def test_a_bound_that_follows_from_a_shape_is_known() -> None:
    body = [helper.make_node("MatMul", ["h1", "W"], ["o1"], name="product")]
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "one"], ["m"]),
        loop(1, body, "m", "z", "y", "loop"),
    ]
    stored: Stored = {"W": np.zeros((D, D), np.float32), "one": np.array(1, np.int64)}
    inputs = [info("x", 4, "T"), info("z", 4, D)]
    graph = read(nodes, inputs, [info("y", 4, D)], stored, {"T": 12})
    assert flops(graph)["loop"] == 12 * PRODUCT
    free = read([nodes[2]], [info("m", kind=TensorProto.INT64), info("z", 4, D)], [info("y", 4, D)], stored)
    assert flops(free)["loop"] == PRODUCT
    assert any("'loop' (Loop)" in remark for remark in free.remarks)


def test_a_condition_that_may_stop_early_is_said() -> None:
    body = helper.make_graph(
        [helper.make_node("Relu", ["h"], ["o"]), helper.make_node("Less", ["i", "five"], ["again"])],
        "b",
        [info("i", kind=TensorProto.INT64), info("c", kind=TensorProto.BOOL), info("h", 4)],
        [info("again", kind=TensorProto.BOOL), info("o", 4)],
    )
    node = helper.make_node("Loop", ["M", "", "x"], ["y"], name="loop", body=body)
    stored = {"M": np.array(10, np.int64), "five": np.array(5, np.int64)}
    graph = read([node], [info("x", 4)], [info("y", 4)], stored)
    assert flops(graph) == {"loop": 10 * 5}
    assert any("though a condition may end them: 'loop' (10)" in remark for remark in graph.remarks)


@pytest.mark.parametrize(
    ("shape", "attributes", "result", "steps"),
    [
        ((100, 2, D), {}, (100, 2, D), 100),
        ((2, 100, D), {"scan_input_axes": [1], "scan_output_axes": [1]}, (2, 100, D), 100),
        ((2, D, 50), {"scan_input_axes": [-1], "scan_output_axes": [0], "scan_input_directions": [1]}, (50, 2, D), 50),
    ],
)
def test_a_scan_runs_along_the_axis_it_names(
    shape: tuple[int, ...], attributes: dict[str, Any], result: tuple[int, ...], steps: int
) -> None:
    body = helper.make_graph(
        [
            helper.make_node("MatMul", ["state", "W"], ["m"]),
            helper.make_node("Add", ["m", "part"], ["next"]),
            helper.make_node("Identity", ["next"], ["out"]),
        ],
        "b",
        [info("state", 2, D), info("part", 2, D)],
        [info("next", 2, D), info("out", 2, D)],
    )
    nodes = [
        helper.make_node("Scan", ["s0", "x"], ["last", "ys"], name="scan", body=body, num_scan_inputs=1, **attributes),
        helper.make_node("Relu", ["ys"], ["y"]),
    ]
    stored: Stored = {"W": np.zeros((D, D), np.float32), "s0": np.zeros((2, D), np.float32)}
    graph = read(nodes, [info("x", *shape)], [onnx.ValueInfoProto(name="y")], stored)
    assert flops(graph)["scan"] == steps * (2 * 2 * D * D + 2 * D)
    assert isinstance(graph.costs, PhysicalCosts)
    assert graph.costs.tensor_bytes.tolist() == [4 * np.prod(result)]


def test_a_scan_of_opset_8_runs_over_every_sample() -> None:
    body = helper.make_graph(
        [helper.make_node("Add", ["state", "part"], ["next"]), helper.make_node("Identity", ["next"], ["out"])],
        "b",
        [info("state", D), info("part", D)],
        [info("next", D), info("out", D)],
    )
    node = helper.make_node("Scan", ["", "s0", "x"], ["last", "y"], name="scan", body=body, num_scan_inputs=1)
    stored = {"s0": np.zeros((3, D), np.float32)}
    graph = read([node], [info("x", 3, 7, D)], [info("y", 3, 7, D)], stored, opset=8)
    assert flops(graph) == {"scan": 3 * 7 * D}


def test_a_branch_in_a_loop_counts_its_dearest_side_every_trip() -> None:
    cheap = helper.make_graph([helper.make_node("Relu", ["h1"], ["t"])], "cheap", [], [info("t", 4, D)])
    dear = helper.make_graph([helper.make_node("MatMul", ["h1", "W"], ["e"])], "dear", [], [info("e", 4, D)])
    branch = helper.make_node("If", ["flag"], ["o1"], name="choice", then_branch=cheap, else_branch=dear)
    stored: Stored = {"W": np.zeros((D, D), np.float32), "M": np.array(6, np.int64)}
    graph = read(
        [loop(1, [branch], "M", "x", "y", "loop")],
        [info("x", 4, D), info("flag", kind=TensorProto.BOOL)],
        [info("y", 4, D)],
        stored,
    )
    assert flops(graph) == {"loop": 6 * PRODUCT}


def test_operators_of_onnxruntime_count_inside_bodies() -> None:
    inner = helper.make_node("FusedMatMul", ["h1", "W"], ["f"], name="fused", domain="com.microsoft")
    behind = helper.make_node("Relu", ["f"], ["o1"])
    strange = helper.make_node("Sigh", ["h1"], ["lost"], name="sigh", domain="custom")
    stored: Stored = {"W": np.zeros((D, D), np.float32), "M": np.array(6, np.int64)}
    outer = loop(1, [inner, behind, strange], "M", "x", "y", "loop")
    graph = read([outer], [info("x", 4, D)], [info("y", 4, D)], stored)
    assert flops(graph) == {"loop": 6 * (PRODUCT + 4 * D)}
    assert any("an unknown shape counts as nothing: 'loop/sigh' (custom.Sigh)" in r for r in graph.remarks)


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
def test_recurrences_by_formula(op: str, gates: int) -> None:
    node = helper.make_node(op, ["x", "W", "R"], ["Y"], name="rnn", hidden_size=64)
    stored: Stored = {"W": np.zeros((1, gates * 64, 64), np.float32), "R": np.zeros((1, gates * 64, 64), np.float32)}
    graph = read([node], [info("x", 100, 1, 64)], [info("Y", 100, 1, 1, 64)], stored)
    assert flops(graph) == {"rnn": 2 * gates * 64 * 128 * 100}


def test_nodes_that_lead_nowhere_are_named() -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["a"], name="kept"),
        helper.make_node("MatMul", ["a", "W"], ["b"], name="aux.product"),
        helper.make_node("Relu", ["b"], ["c"], name="aux.relu"),
    ]
    graph = read(nodes, [info("x", 4, D)], [info("a", 4, D)], {"W": np.zeros((D, D), np.float32)})
    (remark,) = (r for r in graph.remarks if "no output" in r)
    assert "2 nodes lead to no output of the model and count all the same, 51.5% of all operations" in remark
    assert "'aux.product', 'aux.relu'" in remark

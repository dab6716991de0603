"""Branches on constants: what is taken is seen, and every reader sees the same nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from framework.deploy.onnx_model import open_model
from framework.errors import UserError
from framework.formats import read_graph
from framework.formats.onnx.inlining import prepared

D = 4


def info(name: str, *shape: int, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def branch(tag: str, op: str) -> onnx.GraphProto:
    """Two products and an activation; values are called alike in both branches, one weight is the branch's own."""
    own = numpy_helper.from_array(np.full((D, D), 0.5 if op == "Relu" else -0.5, np.float32), "own")
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["h"], name=f"{tag}.first"),
        helper.make_node("MatMul", ["h", "own"], ["i"], name=f"{tag}.second"),
        helper.make_node(op, ["i"], ["out"], name=f"{tag}.act"),
    ]
    return helper.make_graph(nodes, tag, [], [info("out", 2, D), info("h", 2, D), info("own", D, D)], [own])


def merged(condition: str, value: bool | None = None) -> onnx.ModelProto:
    """A model that is two branches on a condition: an input, stored, or computed from what is stored."""
    nodes = []
    branches: Any = {"then_branch": branch("then", "Relu"), "else_branch": branch("else", "Tanh")}
    stored = [numpy_helper.from_array(np.eye(D, dtype=np.float32), "W")]
    inputs = [info("x", 2, D)]
    if condition == "input":
        inputs.append(info("go", kind=TensorProto.BOOL))
        name = "go"
    elif condition == "stored":
        stored.append(numpy_helper.from_array(np.array([value]), "go"))
        name = "go"
    else:
        tensor = numpy_helper.from_array(np.array(not value), "t")
        nodes += [helper.make_node("Constant", [], ["c"], value=tensor), helper.make_node("Not", ["c"], ["go"])]
        name = "go"
    nodes += [
        helper.make_node("If", [name], ["y", "side", "w"], name="if", **branches),
        helper.make_node("Add", ["y", "side"], ["z"], name="add"),
        # Uses a name that the branches use, too.
        helper.make_node("Neg", ["z"], ["i"], name="neg"),
    ]
    graph = helper.make_graph(nodes, "g", inputs, [info("i", 2, D), info("w", D, D)], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("condition", ["stored", "computed"])
def test_the_branch_taken_replaces_the_node(tmp_path: Path, condition: str, value: bool) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(merged(condition, value), path)
    graph = read_graph(path)
    tag = "then" if value else "else"
    assert graph.node_names[:3] == (f"{tag}.first", f"{tag}.second", f"{tag}.act")
    assert graph.node_names[-2:] == ("add", "neg")
    assert any("1 branch on a constant (If) was replaced" in remark for remark in graph.remarks)
    # What splits the model sees the same nodes.
    assert open_model(path).node_names == graph.node_names


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("condition", ["stored", "computed"])
def test_results_stay_the_same(condition: str, value: bool) -> None:
    runtime = pytest.importorskip("onnxruntime")
    model = merged(condition, value)
    after, _ = prepared(onnx.ModelProto.FromString(model.SerializeToString()), "m")
    onnx.checker.check_model(after, full_check=True)
    x = np.random.default_rng(0).standard_normal((2, D)).astype(np.float32)
    made = []
    for proto in (model, after):
        session = runtime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
        made.append(session.run(None, {"x": x}))
    for before, now in zip(*made, strict=True):
        np.testing.assert_array_equal(before, now)


def test_a_branch_on_an_input_stays_one_node(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    model = merged("input")
    onnx.save(model, path)
    graph = read_graph(path)
    assert graph.node_names == ("if", "add", "neg")
    told = next(remark for remark in graph.remarks if "'if' (If) is" in remark)
    way = "(to see inside the branch that is taken, store the input 'go' as an initializer too)"
    assert told.endswith(f"cannot be split {way}")
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "go"))
    onnx.save(model, path)
    graph = read_graph(path)
    assert "if" not in graph.node_names
    assert graph.remarks[-1] == "1 branch on a constant (If) was replaced by what is taken"


def test_nested_constants_are_followed() -> None:
    inner = helper.make_node(
        "If",
        ["never"],
        ["out"],
        then_branch=helper.make_graph([helper.make_node("Neg", ["x"], ["n"], name="no")], "t", [], [info("n", 2, D)]),
        else_branch=helper.make_graph([helper.make_node("Abs", ["x"], ["a"], name="yes")], "e", [], [info("a", 2, D)]),
    )
    outer = helper.make_node(
        "If",
        ["always"],
        ["y"],
        then_branch=helper.make_graph([inner], "t", [], [info("out", 2, D)]),
        else_branch=helper.make_graph([helper.make_node("Relu", ["x"], ["r"])], "e", [], [info("r", 2, D)]),
    )
    stored = [numpy_helper.from_array(np.array(name == "always"), name) for name in ("always", "never")]
    graph = helper.make_graph([outer], "g", [info("x", 2, D)], [info("y", 2, D)], stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    after, remarks = prepared(model, "m")
    onnx.checker.check_model(after, full_check=True)
    assert [(node.op_type, node.name, list(node.output)) for node in after.graph.node] == [("Abs", "yes", ["y"])]
    assert remarks == ["2 branches on a constant (If) were replaced by what is taken"]


def doubling(levels: int, *, circular: bool = False) -> onnx.ModelProto:
    """Functions that each call the next one twice."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("f", 1)]
    functions = []
    for level in range(levels):
        last = level == levels - 1
        callee = ("Relu", "") if last and not circular else (f"f{(level + 1) % levels}", "f")
        nodes = [
            helper.make_node(callee[0], ["a"], ["b"], domain=callee[1]),
            helper.make_node(callee[0], ["b"], ["c"], domain=callee[1]),
        ]
        functions.append(helper.make_function("f", f"f{level}", ["a"], ["c"], nodes, opsets))
    graph = helper.make_graph([helper.make_node("f0", ["x"], ["y"], domain="f")], "g", [info("x", 2)], [info("y", 2)])
    return helper.make_model(graph, opset_imports=opsets, functions=functions, ir_version=8)


def test_functions_that_double_are_refused() -> None:
    assert len(prepared(doubling(4), "m")[0].graph.node) == 16
    with pytest.raises(UserError, match=r"m: its functions stand for 1.07e\+09 nodes"):
        prepared(doubling(30), "m")
    with pytest.raises(UserError, match="the function 'f0' calls itself"):
        prepared(doubling(3, circular=True), "m")

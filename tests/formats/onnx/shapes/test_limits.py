"""Sizes of dimensions, and what tiny files could blow up into: one line, at once."""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, parser, shape_inference

from framework.cli.options import parse_dims
from framework.cli.spelling import with_options
from framework.errors import UserError
from framework.formats.onnx.dims import to_give, with_derived
from framework.formats.onnx.reader import parse
from framework.formats.onnx.shapes import guard as onnx_guard
from framework.model.graph import PhysicalCosts

HEADER = '<ir_version: 8, opset_import: ["": 17]>\n'


def info(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def refusal(model: onnx.ModelProto, dims: dict[str, int] | None = None) -> str:
    with pytest.raises(UserError) as caught:
        parse(model.SerializeToString(), "m.onnx", dims=dims)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def shaped(op: str, length: int | str, *, before: str = "") -> onnx.ModelProto:
    """One operator whose result has as many dimensions as its input `shape` has entries."""
    nodes = []
    shape = "shape"
    if before:
        attributes: dict[str, Any] = {"to": 7} if before == "Cast" else {}
        nodes.append(helper.make_node(before, ["shape"], ["moved"], **attributes))
        shape = "moved"
    inputs = [shape] if op == "ConstantOfShape" else ["x", shape]
    nodes.append(helper.make_node(op, inputs, ["y"], name="grown"))
    kind = TensorProto.INT32 if before == "Cast" else TensorProto.INT64
    graph = helper.make_graph(nodes, "g", [info("x", 2), info("shape", length, kind=kind)], [info("y", 2)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("op", ["Expand", "Reshape", "ConstantOfShape", "Unsqueeze"])
@pytest.mark.parametrize("length", [10**6, 2**63 - 1])
@pytest.mark.parametrize("before", ["", "Identity", "Cast"])
def test_a_value_of_a_million_dimensions_is_refused(op: str, length: int, before: str) -> None:
    message = refusal(shaped(op, length, before=before))
    assert f"node 'grown' ({op}): its result would have {length:.6g} dimensions, one per entry of " in message


def test_a_length_that_is_given_is_checked_as_well() -> None:
    assert "1e+06 dimensions" in refusal(shaped("Expand", "N"), {"N": 10**6})


def endless(_: onnx.ModelProto) -> onnx.ModelProto:
    time.sleep(60)
    raise AssertionError


def crashing(_: onnx.ModelProto) -> onnx.ModelProto:
    os.abort()


def greedy(_: onnx.ModelProto) -> onnx.ModelProto:
    held = []
    while True:
        held.append(bytearray(1 << 28))


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (endless, "shape inference takes more than 0.2 s (the model is too large, or damaged)"),
        (crashing, "shape inference crashed, or took more than"),
        (greedy, "there is not enough memory for shape inference"),
    ],
)
def test_what_the_library_does_stays_in_a_child(
    monkeypatch: pytest.MonkeyPatch, behaviour: Callable[[onnx.ModelProto], onnx.ModelProto], said: str
) -> None:
    model = parser.parse_model(HEADER + "g (float[2] x) => (float[2] y) { y = Relu (x) }")
    monkeypatch.setattr(shape_inference, "infer_shapes", behaviour)
    monkeypatch.setattr(onnx_guard, "MORE_BYTES", 1 << 30)
    monkeypatch.setattr(onnx_guard, "_THREADED", frozenset())
    if behaviour is endless:
        monkeypatch.setattr(onnx_guard, "MOST_SECONDS", 0.2)
    assert said in refusal(model)


def test_a_damaged_attribute_that_ends_the_process_is_one_line() -> None:
    """A pool of one stride over two axes: a failed assertion in native code, in some versions of onnx."""
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[2, 2], strides=[1], pads=[0])
    graph = helper.make_graph([node], "g", [info("x", 1, 3, 8, 8)], [info("y", 1, 3, 7, 7)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    try:
        parse(model.SerializeToString(), "m.onnx")
    except UserError as error:
        lines = str(error).splitlines()
    else:
        lines = ["read"]
    assert len(lines) == 1


@pytest.mark.parametrize(
    "text",
    [
        # Each value would have 2^62 elements, or 2^40 of them made of a few bytes.
        "{ s = Constant <value = int64[2] {2147483648, 2147483648}> ()  w = ConstantOfShape (s)  y = Add (x, w) }",
        "{ a = Constant <value = int64 {0}> () b = Constant <value = int64 {1099511627776}> () "
        "c = Constant <value = int64 {1}> ()  r = Range (a, b, c)  f = Cast <to = 1> (r)  y = Add (x, f) }",
        "{ s = Constant <value = int64[1] {1099511627776}> ()  t = Tile (x, s)  y = Neg (t) }",
        "{ s = Constant <value = int64[2] {0, 1099511627776}> ()  t = Pad (x, s)  y = Neg (t) }",
        "{ i = Cast <to = 7> (x)  d = Constant <value = int64[1] {1099511627776}> () "
        "v = Constant <value = float[2] {0, 1}> ()  o = OneHot (i, d, v)  y = Neg (o) }",
        "{ k = Constant <value = float[1] {2}> ()  s = Constant <value = int64[1] {1099511627776}> () "
        "e = Expand (k, s)  y = Add (x, e) }",
        "{ e = EyeLike (q)  y = Neg (e) }",
    ],
)
def test_values_are_never_made(text: str) -> None:
    q = ", float[1048576, 1048576] q" if "EyeLike" in text else ""
    model = parser.parse_model(HEADER + f"g (float[1] x{q}) => (y) {text}")
    if "2147483648" in text:
        assert "has 4.61e+18 elements" in refusal(model)
    else:
        graph = parse(model.SerializeToString(), "m.onnx")
        assert isinstance(graph.costs, PhysicalCosts)
        assert graph.costs.flops[-1] >= 2.0**40


def test_a_tensor_beyond_64_bits_is_called_by_its_name() -> None:
    model = parser.parse_model(HEADER + "g (float[N, N] x) => (float[N, N] y) { h = Relu (x)  y = Neg (h) }")
    message = refusal(model, {"N": 2**40})
    assert "node 'h' (Relu): its output 'h' of shape [1099511627776, 1099511627776] has 1.21e+24 elements" in message


def test_names_of_dimensions_may_be_anything() -> None:
    name = "batch size = 'n'"
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [info("x", name, 3)], [info("y", name, 3)])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    message = refusal(model)
    advice = message.partition("(give ")[2].removesuffix(")")
    flags = shlex.split(with_options(advice))
    assert flags == ["--dim", f"{name}=1"]
    dims = parse_dims(flags[1::2])
    assert parse(model.SerializeToString(), "m.onnx", dims=dims).costs.flops.tolist() == [3]  # type: ignore[union-attr]


def decoder() -> onnx.ModelProto:
    return parser.parse_model(
        HEADER
        + """g (float[B, S, 8] new, float[B, P, 8] past, float[B, T] mask) => (float[B, T] y)
        <int64[1] axes = {2}>
        { all = Concat <axis = 1> (past, new)  sum = ReduceSum <keepdims = 0> (all, axes)  y = Add (sum, mask) }"""
    )


def test_dimensions_that_are_expressions_follow() -> None:
    model = decoder()
    for value in (model.graph.input[2], model.graph.output[0]):
        value.type.tensor_type.shape.dim[1].dim_param = "P + S"
    assert "(give `dims={'B': 1, 'S': 1, 'P': 1}`)" in refusal(model)
    graph = parse(model.SerializeToString(), "m.onnx", dims={"B": 2, "S": 1, "P": 8})
    assert isinstance(graph.costs, PhysicalCosts)
    assert graph.costs.flops.tolist() == [0, 2 * 9 * 8, 18]
    message = refusal(model, {"B": 2, "S": 1, "P": 8, "P + S": 12})
    assert "the dimension 'P + S' is 9 against 12: P=8, S=1 against what is given for it" in message
    assert "leave out `dims={'P + S': 12}`" in message


def test_sizes_that_contradict_each_other_are_blamed_on_the_dimension() -> None:
    message = refusal(decoder(), {"B": 2, "S": 1, "P": 8, "T": 12})
    assert "node 'y' (Add): the sizes of its inputs contradict each other, 9 against 12" in message
    assert "(check `dims={'T': 12}`)" in message


@pytest.mark.parametrize(
    ("symbol", "size"),
    [
        ("s + 1", 11),
        ("2*s - b", 17),
        ("(s - 1)//2 + 1", 5),
        ("floor(s/3) + ceil(s/3)", 7),
        ("Max(1, s - 20)", 1),
        ("min(s, b) % 2", 1),
        ("s/5", 2),
        ("s/4", None),
        ("s//z", None),
        ("s ** 2", None),
        ("open('f')", None),
        ("s.bit_length()", None),
        ("batch-size", None),
        ("s" + "*s" * 200, None),
    ],
)
def test_arithmetic_of_dimensions(symbol: str, size: int | None) -> None:
    dims = {"s": 10, "b": 3, "z": 0}
    assert with_derived(dims, [symbol], "m").get(symbol) == size


def test_what_to_give_for_an_expression() -> None:
    assert to_give(["p + 1", "b", "p", "x y"], {}) == ["p", "b", "x y"]
    assert to_give(["s/4"], {"s": 10}) == ["s/4"]


def test_weights_are_not_looked_at() -> None:
    weight = numpy_helper.from_array(np.zeros((1 << 10, 1 << 10), np.float32), "W")
    weight.raw_data = b"short"
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "W"], ["y"])], "g", [info("x", 1, 1 << 10)], [info("y", 1, 1 << 10)], [weight]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    assert parse(model.SerializeToString(), "m.onnx").topology.n == 1

"""Small models with types, results and wiring that a comparison of results could stumble over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from tests.deploy.models import FLOAT, INT64, model, tensor

node, info = helper.make_node, helper.make_tensor_value_info


def _weights(count: int, kind: Any = np.float32) -> list[onnx.TensorProto]:
    rng = np.random.default_rng(3)
    return [numpy_helper.from_array((rng.standard_normal((16, 16)) / 4).astype(kind), f"w{i}") for i in range(count)]


def half_precision() -> onnx.ModelProto:
    nodes = []
    for i in range(3):
        nodes += [node("MatMul", [f"h{i}", f"w{i}"], [f"m{i}"]), node("Sigmoid", [f"m{i}"], [f"h{i + 1}"])]
    ends = [info(name, TensorProto.FLOAT16, [4, 16]) for name in ("h0", "h3")]
    return model(helper.make_graph(nodes, "half", ends[:1], ends[1:], _weights(3, np.float16)))


def crossing(kind: int) -> onnx.ModelProto:
    """Return a model in which a tensor of this type can be cut."""
    nodes = [
        node("MatMul", ["x", "w0"], ["a"]),
        node("Cast", ["a"], ["narrow"], to=kind),
        node("Cast", ["narrow"], ["b"], to=FLOAT),
        node("MatMul", ["b", "w1"], ["y"]),
    ]
    ends = [info(name, FLOAT, [4, 16]) for name in "xy"]
    return model(helper.make_graph(nodes, "crossing", ends[:1], ends[1:], _weights(2)), ir_version=9, opset=19)


def handed_through() -> onnx.ModelProto:
    """Return one whose results are inputs (one of them used), a weight, and a value that is computed."""
    nodes = [node("MatMul", ["x", "w0"], ["a"]), node("Relu", ["a"], ["b"]), node("MatMul", ["b", "w1"], ["y"])]
    x, mask = info("x", FLOAT, [4, 16]), info("mask", FLOAT, [4])
    results = [info("y", FLOAT, [4, 16]), x, mask, info("w2", FLOAT, [16, 16])]
    return model(helper.make_graph(nodes, "handed", [x, mask], results, _weights(3)))


def random_numbers(**seed: Any) -> onnx.ModelProto:
    """Return one with noise in one of its two results."""
    nodes = [
        node("MatMul", ["x", "w0"], ["mean"], name="mean"),
        node("RandomNormalLike", ["mean"], ["noise"], name="noise", **seed),
        node("Add", ["mean", "noise"], ["z"], name="add"),
        node("Dropout", ["mean", "", "never"], ["kept"], name="no dropout"),
        node("Dropout", ["z", "", "always"], ["dropped"], name="dropout"),
        node("MatMul", ["dropped", "w1"], ["y"], name="noisy"),
        node("MatMul", ["kept", "w1"], ["steady"], name="steady"),
    ]
    flags = [numpy_helper.from_array(np.array(value), name) for name, value in (("never", False), ("always", True))]
    results = [info(name, FLOAT, [4, 16]) for name in ("y", "steady")]
    return model(
        helper.make_graph(nodes, "random", [info("x", FLOAT, [4, 16])], results, [*_weights(2), *flags]), opset=13
    )


def quantised() -> onnx.ModelProto:
    """Return two convolutions behind one DequantizeLinear, as exporters write quantised models."""
    rng = np.random.default_rng(0)
    weights = [
        numpy_helper.from_array(np.array(0.05, np.float32), "s"),
        numpy_helper.from_array(np.array(0, np.int8), "z"),
        numpy_helper.from_array(np.full(8, 0.002, np.float32), "ws"),
        numpy_helper.from_array(np.zeros(8, np.int8), "wz"),
    ]
    nodes: list[onnx.NodeProto] = []

    def quantise(value: str) -> str:
        nodes.append(node("QuantizeLinear", [value, "s", "z"], [f"{value}_q"], name=f"{value}_Q"))
        nodes.append(node("DequantizeLinear", [f"{value}_q", "s", "z"], [f"{value}_dq"], name=f"{value}_DQ"))
        return f"{value}_dq"

    def convolve(value: str, name: str) -> str:
        filters = rng.integers(-90, 90, (8, 8, 3, 3)).astype(np.int8)
        weights.append(numpy_helper.from_array(filters, f"{name}_wq"))
        nodes.append(node("DequantizeLinear", [f"{name}_wq", "ws", "wz"], [f"{name}_w"], name=f"{name}_WDQ", axis=0))
        nodes.append(node("Conv", [value, f"{name}_w"], [name], name=name, pads=[1] * 4, kernel_shape=[3, 3]))
        return name

    shared = quantise(convolve(quantise("x"), "c0"))
    nodes.append(node("Add", [convolve(shared, "c1"), convolve(shared, "c2")], ["sum"], name="add"))
    result = convolve(quantise("sum"), "c3")
    ends = [info(name, FLOAT, [1, 8, 12, 12]) for name in ("x", result)]
    return model(helper.make_graph(nodes, "quantised", ends[:1], ends[1:], weights))


def odd_results() -> onnx.ModelProto:
    """Return results that are a scalar, empty, boolean, integer, NaN and infinite."""
    return parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        odd (float[4] x) => (float total, float[0] none, bool[4] positive, int64 top, float[4] broken, float[4] endless)
        <float[4] zero = {0, 0, 0, 0}, int64[1] start = {0}, int64[1] end = {0}>
        {
            a = Exp (x)
            total = ReduceSum <keepdims = 0> (a)
            none = Slice (a, start, end)
            positive = Greater (x, zero)
            b = Neg (a)
            c = Neg (b)
            top = ArgMax <axis = 0, keepdims = 0> (c)
            broken = Sqrt (b)
            endless = Div (c, zero)
        }"""
    )


def captured() -> onnx.ModelProto:
    """Return an If whose branches use a dequantised value of the graph around them."""
    return parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        outer (float[4] x) => (float[4] y)
        <float s = {0.05}, int8 z = {0}, float limit = {0.0}>
        {
            a = Tanh (x)
            q = QuantizeLinear (a, s, z)
            d = DequantizeLinear (q, s, z)
            total = ReduceSum <keepdims = 0> (d)
            positive = Greater (total, limit)
            y = If (positive) <
                then_branch = yes () => (float[4] t) { t = Add (d, a) },
                else_branch = no () => (float[4] e) { e = Sub (d, a) }
            >
        }"""
    )


def contrib() -> onnx.ModelProto:
    """Return one with an operator of another domain."""
    nodes = [
        node("MatMul", ["x", "w0"], ["a"]),
        node("Gelu", ["a"], ["b"], domain="com.microsoft"),
        node("MatMul", ["b", "w1"], ["y"]),
    ]
    ends = [info(name, FLOAT, [4, 16]) for name in "xy"]
    values = [info(name, FLOAT, [4, 16]) for name in "ab"]
    made = model(helper.make_graph(nodes, "contrib", ends[:1], ends[1:], _weights(2), value_info=values))
    made.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return made


def unused() -> onnx.ModelProto:
    """Return one with a head that no result depends on."""
    nodes = [
        node("MatMul", ["x", "w0"], ["a"], name="first"),
        node("MatMul", ["a", "aux"], ["b"], name="aux.mm"),
        node("Softmax", ["b"], ["c"], name="aux.softmax"),
        node("MatMul", ["a", "w1"], ["y"], name="last"),
    ]
    ends = [info(name, FLOAT, [4, 16]) for name in "xy"]
    rng = np.random.default_rng(0)
    return model(helper.make_graph(nodes, "unused", ends[:1], ends[1:], [*_weights(2), tensor(rng, "aux", 16, 64)]))


def tokens() -> onnx.ModelProto:
    """Return one with whole numbers in and out."""
    nodes = [
        node("Gather", ["w0", "ids"], ["a"]),
        node("MatMul", ["a", "w1"], ["b"]),
        node("ArgMax", ["b"], ["next"], axis=-1, keepdims=0),
    ]
    ids, after = info("ids", INT64, [5]), info("next", INT64, [5])
    return model(helper.make_graph(nodes, "tokens", [ids], [after], _weights(2)))


ODD: dict[str, Callable[[], onnx.ModelProto]] = {
    "half precision": half_precision,
    "bfloat16": lambda: crossing(TensorProto.BFLOAT16),
    "float8": lambda: crossing(TensorProto.FLOAT8E4M3FN),
    "handed through": handed_through,
    "random": random_numbers,
    "random, seeded": lambda: random_numbers(seed=3.0),
    "quantised": quantised,
    "odd results": odd_results,
    "captured": captured,
    "contrib": contrib,
    "unused": unused,
    "tokens": tokens,
}

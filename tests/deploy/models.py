"""Small ONNX models with weights, built by hand: what a split must not stumble over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, parser

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def tensor(rng: np.random.Generator, name: str, *shape: int) -> onnx.TensorProto:
    scale = 1 / np.sqrt(max(1, shape[0])) if len(shape) > 1 else 0.1
    return numpy_helper.from_array((scale * rng.standard_normal(shape)).astype(np.float32), name)


def model(graph: onnx.GraphProto, *, ir_version: int = 8, opset: int = 17) -> onnx.ModelProto:
    made = helper.make_model(graph, ir_version=ir_version, opset_imports=[helper.make_opsetid("", opset)])
    made.producer_name = "tests"
    return made


def residual(*, ir_version: int = 8) -> onnx.ModelProto:
    """Three residual blocks of convolutions, then a heavy matrix; some nodes without names, one weight used twice."""
    rng = np.random.default_rng(0)
    nodes, weights = [], [tensor(rng, "stem", 8, 3, 3, 3), tensor(rng, "head", 512, 200), tensor(rng, "bias", 200)]
    nodes.append(helper.make_node("Conv", ["x", "stem"], ["h0"], name="stem", pads=[1, 1, 1, 1]))
    for i in range(3):
        weights.append(tensor(rng, f"w{i}", 8, 8, 3, 3))
        nodes += [
            helper.make_node("Conv", [f"h{i}", f"w{min(i, 1)}"], [f"c{i}"], name=f"conv{i}", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", [f"c{i}"], [f"r{i}"]),
            helper.make_node("Add", [f"r{i}", f"h{i}"], [f"h{i + 1}"], name=f"add{i}"),
        ]
    nodes += [
        helper.make_node("Flatten", ["h3"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "head", "bias"], ["y"], name="head"),
    ]
    inputs = [helper.make_tensor_value_info("x", FLOAT, [2, 3, 8, 8])]
    if ir_version < 4:
        inputs += [helper.make_tensor_value_info(w.name, FLOAT, list(w.dims)) for w in weights]
    outputs = [helper.make_tensor_value_info("y", FLOAT, [2, 200]), helper.make_tensor_value_info("r1", FLOAT, None)]
    return model(helper.make_graph(nodes, "residual", inputs, outputs, weights), ir_version=ir_version, opset=14)


def transformer(
    *, layers: int = 2, width: int = 32, heads: int = 2, vocabulary: int = 600, length: int = 5
) -> onnx.ModelProto:
    """A decoder with a symbolic batch, a causal mask from constants, and an embedding that is also the last matrix."""
    rng = np.random.default_rng(1)
    weights = [tensor(rng, "embedding", vocabulary, width), tensor(rng, "positions", 64, width)]
    nodes: list[onnx.NodeProto] = []

    def constant(name: str, values: Any) -> str:
        weights.append(numpy_helper.from_array(np.array(values), name))
        return name

    def node(op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(op, inputs, [output], name=f"/{output}/{op}", **attributes))
        return output

    split_heads = constant("split_heads", [0, 0, heads, width // heads])
    merge_heads = constant("merge_heads", [0, 0, width])
    scale = constant("scale", np.float32(1 / np.sqrt(width / heads)))
    low = constant("low", np.float32(-1e9))
    ones = node("ConstantOfShape", [constant("mask_shape", [64, 64])], "ones")
    filled = node("Add", [ones, constant("one", np.float32(1))], "filled")
    triangle = node("Trilu", [filled, constant("above", 1)], "triangle", upper=1)
    future = node("Cast", [triangle], "future", to=TensorProto.BOOL)
    corner = constant("corner", [length, length])
    mask = node("Slice", [future, constant("origin", [0, 0]), corner], "mask")
    places = node("Slice", ["positions", constant("first", [0]), constant("last", [length])], "places")
    h = node("Add", [node("Gather", ["embedding", "tokens"], "looked_up"), places], "h0")
    for i in range(layers):
        for name, rows, columns in (("q", width, width), ("k", width, width), ("v", width, width), ("o", width, width),
                                    ("up", width, 4 * width), ("down", 4 * width, width)):  # fmt: skip
            weights.append(tensor(rng, f"{name}{i}", rows, columns))
        for name in ("g1", "b1", "g2", "b2"):
            weights.append(tensor(rng, f"{name}_{i}", width))
        n = node("LayerNormalization", [h, f"g1_{i}", f"b1_{i}"], f"n{i}")
        parts = {}
        for name in ("q", "k", "v"):
            flat = node("MatMul", [n, f"{name}{i}"], f"{name}_flat{i}")
            order = [0, 2, 3, 1] if name == "k" else [0, 2, 1, 3]
            heads_of = node("Reshape", [flat, split_heads], f"{name}_split{i}")
            parts[name] = node("Transpose", [heads_of], f"{name}_heads{i}", perm=order)
        scores = node("Mul", [node("MatMul", [parts["q"], parts["k"]], f"qk{i}"), scale], f"scores{i}")
        masked = node("Where", [mask, low, scores], f"masked{i}")
        mixed = node("MatMul", [node("Softmax", [masked], f"weights{i}", axis=-1), parts["v"]], f"mixed{i}")
        merged = node("Reshape", [node("Transpose", [mixed], f"back{i}", perm=[0, 2, 1, 3]), merge_heads], f"merged{i}")
        h = node("Add", [h, node("MatMul", [merged, f"o{i}"], f"attended{i}")], f"a{i}")
        n = node("LayerNormalization", [h, f"g2_{i}", f"b2_{i}"], f"m{i}")
        wide = node("Relu", [node("MatMul", [n, f"up{i}"], f"wide{i}")], f"relu{i}")
        h = node("Add", [h, node("MatMul", [wide, f"down{i}"], f"narrow{i}")], f"h{i + 1}")
    last = node("Transpose", ["embedding"], "embedding_t", perm=[1, 0])
    node("MatMul", [h, last], "logits")
    return model(
        helper.make_graph(
            nodes,
            "transformer",
            [helper.make_tensor_value_info("tokens", INT64, ["N", length])],
            [helper.make_tensor_value_info("logits", FLOAT, ["N", length, vocabulary])],
            weights,
        )
    )


def control_flow() -> onnx.ModelProto:
    """An If and a Loop whose bodies use a value, an initializer and a folded constant of the graph around them."""
    return parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        control (float[4] x, float[4] z) => (float[4] y, float[4] early)
        <float[4] w = {0.5, -1.0, 2.0, 0.25}, int64 trips = {3}, bool true_ = {1}>
        {
            doubled = Add (w, w)
            a = Mul (x, w)
            early = Tanh (a)
            total = ReduceSum <keepdims = 0> (a)
            zero = Constant <value = float {0.0}> ()
            positive = Greater (total, zero)
            chosen = If (positive) <
                then_branch = yes () => (float[4] t) { t = Add (a, doubled) },
                else_branch = no () => (float[4] e) { s = Sub (early, w)  e = Mul (s, z) }
            >
            b = Sigmoid (chosen)
            y = Loop (trips, true_, b) <
                body = step (int64 i, bool go_on, float[4] state) => (bool still, float[4] next) {
                    still = Identity (go_on)
                    pulled = Mul (state, doubled)
                    next = Add (pulled, early)
                }
            >
        }"""
    )


def functions() -> onnx.ModelProto:
    """A function of the model, called twice."""
    return parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17, "local": 1]>
        calls (float[3, 4] x) => (float[3, 4] y)
        <float[4] w = {1.0, 2.0, 3.0, 4.0}>
        {
            h = local.scaled (x, w)
            r = Relu (h)
            y = local.scaled (r, w)
        }
        <domain: "local", opset_import: ["": 17]>
        scaled (v, factor) => (out)
        {
            product = Mul (v, factor)
            out = Sub (product, v)
        }"""
    )


def constant_results() -> onnx.ModelProto:
    """A result that is a constant, one that is computed at once, an input that only the last node uses."""
    return parser.parse_model(
        """<ir_version: 8, opset_import: ["": 17]>
        results (float[2] x, float[2] late) => (float[2] fixed, float[2] a, float[2] y)
        <float[2] w = {1.0, 2.0}>
        {
            fixed = Mul (w, w)
            a = Add (x, w)
            b = Exp (a)
            c = Mul (b, fixed)
            y = Add (c, late)
        }"""
    )


MODELS: dict[str, Callable[[], onnx.ModelProto]] = {
    "residual": residual,
    "residual, ir 3": lambda: residual(ir_version=3),
    "transformer": transformer,
    "control flow": control_flow,
    "functions": functions,
    "constant results": constant_results,
}
DIMS = {"transformer": {"N": 2}}


def write(made: onnx.ModelProto, path: Path, *, external: bool = False) -> Path:
    """Save a model, its weights in a file of their own if `external`."""
    if external:
        onnx.save_model(made, path, save_as_external_data=True, location=f"{path.stem}.data", size_threshold=100)
    else:
        onnx.save(made, path)
    return path


Arrays = dict[str, NDArray[Any]]

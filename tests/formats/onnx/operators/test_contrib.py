"""onnxruntime's own operators: operations by formula, shapes as onnxruntime itself computes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from framework.formats.onnx.operators.contrib import CONTRIB
from framework.formats.onnx.operators.rules import find_rule, node_flops
from framework.formats.onnx.reader import parse
from framework.formats.onnx.tensor_types import TensorType
from framework.model.graph import PhysicalCosts

B, S, T, D, N = 2, 6, 8, 32, 4
"""Batch, tokens, keys, hidden size, heads."""

H = D // N


def floats(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def integers(*shape: int, most: int = 100, kind: Any = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, most, shape).astype(kind)


ONE, ZERO = np.array(0.1, np.float32), np.array(3, np.uint8)
QUANTISED = [integers(B, 8, 10, 10), ONE, ZERO]

# Operator, attributes, inputs (None where absent), operations by formula, results that are asked for.
CASES: list[tuple[str, dict[str, Any], list[np.ndarray | None], int, int]] = [
    # Projection to Q, K and V, then Q K^T and the weighted sum.
    (
        "Attention",
        {"num_heads": N},
        [floats(B, S, D), floats(D, 3 * D), floats(3 * D)],
        2 * B * S * D * 3 * D + 2 * B * S * S * 2 * D,
        1,
    ),
    (
        "Attention",
        {"num_heads": N, "unidirectional": 1},
        [floats(B, 1, D), floats(D, 3 * D), floats(3 * D), None, floats(2, B, N, T, H)],
        2 * B * D * 3 * D + 2 * B * (T + 1) * 2 * D,
        2,
    ),
    (
        "Attention",
        {"num_heads": N, "qkv_hidden_sizes": [D, D, 2 * D]},
        [floats(B, S, D), floats(D, 4 * D), floats(4 * D)],
        2 * B * S * D * 4 * D + 2 * B * S * S * 3 * D,
        1,
    ),
    ("MultiHeadAttention", {"num_heads": N}, [floats(B, S, D), floats(B, T, D), floats(B, T, D)], 4 * B * S * T * D, 1),
    ("MultiHeadAttention", {"num_heads": N}, [floats(B, S, N, 3, H)], 4 * B * S * S * D, 1),
    (
        "MultiHeadAttention",
        {"num_heads": N},
        [floats(B, 1, D), floats(B, 1, D), floats(B, 1, D), None, None, None, floats(B, N, T, H), floats(B, N, T, H)],
        4 * B * (T + 1) * D,
        3,
    ),
    (
        "GroupQueryAttention",
        {"num_heads": N, "kv_num_heads": 2},
        [
            floats(B, 1, D), floats(B, 1, D // 2), floats(B, 1, D // 2), floats(B, 2, T, H), floats(B, 2, T, H),
            np.full(B, T, np.int32), np.array(T + 1, np.int32),
        ],
        4 * B * (T + 1) * D,
        3,
    ),
    (
        "GroupQueryAttention",
        {"num_heads": N, "kv_num_heads": 2},
        [floats(B, S, 2 * D), None, None, None, None, np.full(B, S - 1, np.int32), np.array(S, np.int32)],
        4 * B * S * S * D,
        3,
    ),
    ("FusedMatMul", {"alpha": 0.5}, [floats(B, 5, 7), floats(B, 7, 3)], 2 * B * 5 * 7 * 3, 1),
    ("FusedMatMul", {"transA": 1, "transB": 1}, [floats(B, 7, 5), floats(B, 3, 7)], 2 * B * 5 * 7 * 3, 1),
    ("FusedMatMul", {"transBatchA": 1, "transA": 1}, [floats(5, B, 7), floats(B, 5, 3)], 2 * B * 5 * 7 * 3, 1),
    ("TransposeMatMul", {"transB": 1}, [floats(5, 7), floats(3, 7)], 2 * 5 * 7 * 3, 1),
    ("FusedGemm", {"transB": 1, "activation": "Relu"}, [floats(5, 7), floats(3, 7), floats(3)], 2 * 5 * 7 * 3, 1),
    (
        "FusedConv",
        {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "activation": "Relu"},
        [floats(B, 8, 10, 10), floats(16, 8, 3, 3)],
        2 * B * 16 * 25 * 72,
        1,
    ),
    (
        "MatMulNBits",
        {"K": 64, "N": 48, "bits": 4, "block_size": 32},
        [floats(B, S, 64), integers(48, 2, 16), floats(48 * 2)],
        2 * B * S * 64 * 48,
        1,
    ),
    (
        "MatMulBnb4",
        {"K": 64, "N": 48, "block_size": 32, "quant_type": 1},
        [floats(B, S, 64), integers(64 * 48 // 2), floats(64 * 48 // 32)],
        2 * B * S * 64 * 48,
        1,
    ),
    (
        "DynamicQuantizeMatMul",
        {},
        [floats(B, S, 8), integers(8, 5), np.array([0.1], np.float32)],
        2 * B * S * 8 * 5,
        1,
    ),
    (
        "MatMulIntegerToFloat",
        {},
        [integers(B, S, 8), integers(8, 5), ONE, ONE, ZERO, ZERO],
        2 * B * S * 8 * 5,
        1,
    ),
    (
        "QAttention",
        {"num_heads": N},
        [integers(B, S, D), integers(D, 3 * D), floats(3 * D), ONE, ONE, None, ZERO, ZERO],
        2 * B * S * D * 3 * D + 2 * B * S * S * 2 * D,
        1,
    ),
    (
        "QGemm",
        {"transB": 1},
        [integers(5, 7), ONE, ZERO, integers(3, 7), ONE, ZERO, None, ONE, ZERO],
        2 * 5 * 7 * 3,
        1,
    ),
    ("QLinearAdd", {}, [*QUANTISED, integers(8, 1, 1), ONE, ZERO, ONE, ZERO], 8 * B * 800, 1),
    ("QLinearMul", {}, [*QUANTISED, *QUANTISED, ONE, ZERO], 8 * B * 800, 1),
    ("QLinearSigmoid", {}, [*QUANTISED, ONE, ZERO], 9 * B * 800, 1),
    ("QLinearLeakyRelu", {}, [*QUANTISED, ONE, ZERO], 7 * B * 800, 1),
    ("QLinearGlobalAveragePool", {"channels_last": 0}, [*QUANTISED, ONE, ZERO], B * 800, 1),
    ("QLinearGlobalAveragePool", {"channels_last": 1}, [*QUANTISED, ONE, ZERO], B * 800, 1),
    ("QLinearAveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}, [*QUANTISED, ONE, ZERO], B * 8 * 25 * 4, 1),
    ("QLinearConcat", {"axis": 1}, [ONE, ZERO, *QUANTISED, *QUANTISED], 5 * 2 * B * 800, 1),
    ("QLinearSoftmax", {"opset": 13, "axis": -1}, [*QUANTISED, ONE, ZERO], 10 * B * 800, 1),
    (
        "QLinearConv",
        {"kernel_shape": [3, 3], "channels_last": 1},
        [integers(B, 10, 10, 8), ONE, ZERO, integers(16, 8, 3, 3), ONE, ZERO, ONE, ZERO],
        2 * B * 16 * 64 * 72,
        1,
    ),
    ("NhwcMaxPool", {"kernel_shape": [2, 2]}, [integers(B, 10, 12, 8)], B * 9 * 11 * 8 * 4, 1),
    ("SkipLayerNormalization", {}, [floats(B, S, D), floats(B, S, D), floats(D), floats(D)], 9 * B * S * D, 1),
    (
        "SkipLayerNormalization",
        {},
        [floats(B, S, D), floats(B, S, D), floats(D), floats(D), floats(D)],
        10 * B * S * D,
        4,
    ),
    ("SkipSimplifiedLayerNormalization", {}, [floats(B, S, D), floats(B, S, D), floats(D)], 6 * B * S * D, 1),
    ("FastGelu", {}, [floats(B, S, D)], 8 * B * S * D, 1),
    ("FastGelu", {}, [floats(B, S, D), floats(D)], 9 * B * S * D, 1),
    ("BiasGelu", {}, [floats(B, S, D), floats(D)], 9 * B * S * D, 1),
    ("QuickGelu", {"alpha": 1.7}, [floats(B, S, D)], 6 * B * S * D, 1),
    ("Gelu", {}, [floats(B, S, D)], 8 * B * S * D, 1),
    (
        "RotaryEmbedding",
        {"num_heads": N},
        [floats(B, S, D), np.zeros((B, S), np.int64), floats(64, H // 2), floats(64, H // 2)],
        3 * B * S * D,
        1,
    ),
    (
        "EmbedLayerNormalization",
        {},
        [
            integers(B, S, kind=np.int32), integers(B, S, most=2, kind=np.int32), floats(100, D), floats(50, D),
            floats(2, D), floats(D), floats(D), np.ones((B, S), np.int32),
        ],
        10 * B * S * D,
        2,
    ),
    # Two experts of a token, each with two layers.
    (
        "MoE",
        {"k": 2, "activation_type": "relu"},
        [floats(S, D), floats(S, 5), floats(5, 64, D), None, floats(5, D, 64)],
        2 * S * 2 * 2 * 64 * D,
        1,
    ),
    ("CDist", {"metric": "sqeuclidean"}, [floats(5, 7), floats(3, 7)], 3 * 5 * 7 * 3, 1),
    ("Inverse", {}, [floats(B, 5, 5) + 5 * np.eye(5, dtype=np.float32)], 2 * B * 125, 1),
    (
        "GatherBlockQuantized",
        {"block_size": 16, "gather_axis": 0, "quantize_axis": 1, "bits": 4},
        [integers(50, 32), integers(3, most=50, kind=np.int64), floats(50, 4)],
        2 * 3 * 64,
        1,
    ),
    ("ExpandDims", {}, [floats(B, S), np.array(1, np.int32)], 0, 1),
    ("Trilu", {}, [floats(B, S, S)], 0, 1),
]  # fmt: skip


def single(
    op: str, attributes: Mapping[str, Any], inputs: Sequence[np.ndarray | None], results: int
) -> onnx.ModelProto:
    """A model of one node, fed by its first input, and a Relu-like node behind each result; no shapes are stored."""
    names = ["" if array is None else f"i{i}" for i, array in enumerate(inputs)]
    first = next(i for i, array in enumerate(inputs) if array is not None and array.ndim)
    stored = [
        numpy_helper.from_array(array, name)
        for i, (name, array) in enumerate(zip(names, inputs, strict=True))
        if array is not None and i != first
    ]
    asked = {"SkipLayerNormalization": [0, 3]}.get(op, list(range(results))) if results > 1 else [0]
    outputs = [f"o{i}" if i in asked else "" for i in range(max(asked) + 1)]
    node = helper.make_node(op, names, outputs, name="tested", domain="com.microsoft", **attributes)
    behind = [helper.make_node("Identity", [f"o{i}"], [f"y{i}"], name=f"behind{i}") for i in asked]
    fed = inputs[first]
    assert fed is not None
    return helper.make_model(
        helper.make_graph(
            [node, *behind],
            "g",
            [helper.make_tensor_value_info(names[first], helper.np_dtype_to_tensor_dtype(fed.dtype), fed.shape)],
            [onnx.ValueInfoProto(name=f"y{i}") for i in asked],
            stored,
        ),
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)],
        ir_version=8,
    )


@pytest.mark.parametrize(
    ("op", "attributes", "inputs", "flops", "results"), CASES, ids=[f"{i}-{case[0]}" for i, case in enumerate(CASES)]
)
def test_operations_and_shapes(
    op: str, attributes: dict[str, Any], inputs: list[np.ndarray | None], flops: int, results: int
) -> None:
    model = single(op, attributes, inputs, results)
    graph = parse(model.SerializeToString(), "m.onnx")
    costs = graph.costs
    assert isinstance(costs, PhysicalCosts)
    assert graph.node_names[0] == "tested"
    assert costs.flops[0] == flops
    assert not any("guess" in remark for remark in graph.remarks)
    runtime = pytest.importorskip("onnxruntime")
    for value in model.graph.output:
        value.type.tensor_type.elem_type = TensorProto.FLOAT
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in model.graph.node[0].output if name)
    del model.graph.node[1:]
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        fed = next(array for array in inputs if array is not None and array.ndim)
        made = session.run(None, {session.get_inputs()[0].name: fed})
    except Exception as error:
        pytest.skip(f"onnxruntime does not run this here: {str(error)[:100]}")
    top = graph.topology
    sizes = [costs.tensor_bytes[t] for t in range(top.m) if top.producer[t] == 0]
    assert sizes == [array.nbytes for array in made]
    behind = {name: i for i, name in enumerate(graph.node_names)}
    assert len(behind) == 1 + len(made)


def f32(*shape: int) -> TensorType:
    return TensorType(32, shape)


@pytest.mark.parametrize(
    ("op", "attributes", "inputs", "outputs", "expected"),
    [
        # Without padding: 10 tokens of sequences of up to 6.
        (
            "PackedAttention",
            {"num_heads": N},
            [f32(10, D), f32(D, 3 * D), f32(3 * D), f32(B, S)],
            [f32(10, D)],
            2 * 10 * D * 3 * D + 2 * 10 * S * 2 * D,
        ),
        (
            "PackedMultiHeadAttention",
            {"num_heads": N},
            [f32(10, N, 3, H), None, None, None, f32(B, S)],
            [f32(10, D)],
            4 * 10 * S * D,
        ),
        # 3 query heads of 8 x 16 states; the delta rule reads the state twice and writes it once.
        (
            "LinearAttention",
            {"q_num_heads": 3, "kv_num_heads": 3, "update_rule": "gated_delta"},
            [f32(B, S, 24), f32(B, S, 24), f32(B, S, 48)],
            [f32(B, S, 48)],
            6 * B * S * 3 * 8 * 16,
        ),
        (
            "LinearAttention",
            {"q_num_heads": 3, "kv_num_heads": 3, "update_rule": "linear"},
            [f32(B, S, 24), f32(B, S, 24), f32(B, S, 48)],
            [f32(B, S, 48)],
            4 * B * S * 3 * 8 * 16,
        ),
        # Blocks of 16: 4 rows of blocks, 6 listed in all: 24 keys a row on average.
        (
            "SparseAttention",
            {"num_heads": N, "kv_num_heads": N, "sparse_block_size": 16},
            [f32(1, 64, D), f32(1, 64, D), f32(1, 64, D), None, None, f32(1, 5), f32(1, 6)],
            [f32(1, 64, D)],
            4 * 64 * 24 * D,
        ),
        (
            "LongformerAttention",
            {"window": 2, "num_heads": N},
            [f32(B, 16, D), f32(D, 3 * D), f32(3 * D), None, f32(D, 3 * D)],
            [f32(B, 16, D)],
            2 * B * 16 * 2 * D * 3 * D + 2 * B * 16 * 5 * 2 * D,
        ),
        # 4-bit weights, two to a byte.
        (
            "QMoE",
            {"k": 1, "expert_weight_bits": 4},
            [f32(S, D), f32(S, 5), TensorType(8, (5, 64, D // 2)), None, None, TensorType(8, (5, D, 32))],
            [f32(S, D)],
            2 * S * 2 * 64 * D,
        ),
        ("Rfft", {"signal_ndim": 1}, [f32(B, 64)], [f32(B, 33, 2)], B * 5 * 64 * 6 // 2),
        (
            "DecoderAttention",
            {"num_heads": N},
            [f32(S, B, D), f32(T, B, D), f32(D, D), f32(D, 2 * D)],
            [f32(S, B, D)],
            2 * S * B * D * D + 2 * T * B * 2 * D * D + 4 * S * T * B * D,
        ),
        ("GatedRelativePositionBias", {"num_heads": N}, [f32(B, S, D), f32(D), f32(1, N, S, S), f32(H, 8)],
         [f32(B, N, S, S)], 2 * B * S * D * 8 + B * S * D + B * N * S * S),
    ],
)  # fmt: skip
def test_operations_of_what_runs_on_other_devices(
    op: str, attributes: dict[str, Any], inputs: list[TensorType | None], outputs: list[TensorType], expected: int
) -> None:
    node = helper.make_node(op, ["x"] * len(inputs), ["y"] * len(outputs), domain="com.microsoft", **attributes)
    assert node_flops(node, inputs, outputs) == expected


def test_domain_and_type_decide() -> None:
    kinds = [f32(B, N, S, H), f32(B, N, S, H), f32(B, N, S, H)]
    ours = helper.make_node("Attention", ["q", "k", "v"], ["y"])
    assert node_flops(ours, kinds, [f32(B, N, S, H)]) == 4 * B * N * S * S * H
    stranger = helper.make_node("Conv", ["x", "w"], ["y"], domain="my.domain")
    assert find_rule(stranger) is None
    assert node_flops(stranger, [f32(1, 3, 8, 8), f32(4, 3, 3, 3)], [f32(1, 4, 6, 6)]) == 144
    inner = helper.make_node("Conv", ["x", "w"], ["y"], domain="com.ms.internal.nhwc")
    assert node_flops(inner, [f32(1, 8, 8, 3), f32(4, 3, 3, 3)], [f32(1, 6, 6, 4)]) == 2 * 144 * 27


def test_the_table_names_operators_of_onnxruntime() -> None:
    runtime = pytest.importorskip("onnxruntime.capi.onnxruntime_pybind11_state")
    names = {schema.name for schema in runtime.get_all_operator_schema() if schema.domain == "com.microsoft"}
    # Left out of the build of this machine, or renamed since.
    assert set(CONTRIB) - names <= {"GatherPacked", "MatMulPacked", "ScaledSiLU", "SwiGLU", "BranchwiseRMSNorm"}


def test_guessed_operators_are_named() -> None:
    nodes = [helper.make_node("Sigh", ["x"], ["a"], domain="com.microsoft", name="strange")]
    nodes += [helper.make_node("Relu", ["a"], ["y"], name="r")]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [info("x", 1, [4])], [info("y", 1, [4])], value_info=[info("a", TensorProto.FLOAT, [4])]
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    )
    (remark,) = parse(model.SerializeToString(), "m.onnx").remarks
    assert "'strange' (com.microsoft.Sigh)" in remark

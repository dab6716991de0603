from __future__ import annotations

from typing import Any

import onnx
import pytest
from onnx import helper, parser

from framework.formats.onnx.operators.rules import node_flops
from framework.formats.onnx.operators.standard import STANDARD
from framework.formats.onnx.reader import parse
from framework.formats.onnx.shapes.values import TensorType, element_bits, type_name
from framework.model.graph import PhysicalCosts


def f32(*shape: int) -> TensorType:
    return TensorType(32, shape)


@pytest.mark.parametrize(
    ("op", "attributes", "inputs", "outputs", "expected"),
    [
        # 16 filters of 3x5x5 at 10x10 places, for 2 images.
        ("Conv", {}, [f32(2, 3, 12, 12), f32(16, 3, 5, 5)], [f32(2, 16, 10, 10)], 2 * 2 * 16 * 100 * 75),
        # Depthwise: each of 8 channels has a filter of its own.
        ("Conv", {"group": 8}, [f32(1, 8, 6, 6), f32(8, 1, 3, 3)], [f32(1, 8, 4, 4)], 2 * 8 * 16 * 9),
        ("ConvTranspose", {}, [f32(1, 8, 4, 4), f32(8, 3, 2, 2)], [f32(1, 3, 8, 8)], 2 * 8 * 16 * 3 * 4),
        ("QLinearConv", {}, [f32(1, 3, 4, 4), None, None, f32(2, 3, 1, 1)], [f32(1, 2, 4, 4)], 2 * 2 * 16 * 3),
        ("MatMul", {}, [f32(4, 2, 3), f32(4, 3, 5)], [f32(4, 2, 5)], 2 * 4 * 2 * 3 * 5),
        ("MatMul", {}, [f32(3), f32(3)], [f32()], 6),
        ("Gemm", {}, [f32(2, 3), f32(3, 5), f32(5)], [f32(2, 5)], 2 * 2 * 3 * 5),
        ("Gemm", {"transA": 1, "transB": 1}, [f32(3, 2), f32(5, 3)], [f32(2, 5)], 2 * 2 * 3 * 5),
        ("Einsum", {"equation": "bij, bjk -> bik"}, [f32(4, 2, 3), f32(4, 3, 5)], [f32(4, 2, 5)], 2 * 4 * 2 * 3 * 5),
        ("Einsum", {"equation": "...ij,jk->...ik"}, [f32(7, 4, 2, 3), f32(3, 5)], [f32(7, 4, 2, 5)], 2 * 28 * 30),
        ("Einsum", {"equation": "i,j,k->"}, [f32(2), f32(3), f32(5)], [f32()], 3 * 30),
        # 5 steps, 2 samples; 4 gates, two directions: 4*8*(6+8) weights each.
        ("LSTM", {}, [f32(5, 2, 6), f32(2, 32, 6), f32(2, 32, 8)], [f32(5, 2, 2, 8)], 2 * 10 * 2 * 32 * (6 + 8)),
        ("GRU", {}, [f32(5, 2, 6), f32(1, 24, 6), f32(1, 24, 8)], [f32(5, 1, 2, 8)], 2 * 10 * 24 * 14),
        # 3 heads of 8, 10 queries, 12 keys: scores, then a weighted sum of values of 16.
        (
            "Attention",
            {},
            [f32(1, 3, 10, 8), f32(1, 3, 12, 8), f32(1, 3, 12, 16)],
            [f32(1, 3, 10, 16)],
            2 * 3 * 10 * 12 * (8 + 16),
        ),
        ("Attention", {}, [f32(1, 10, 24), f32(1, 12, 24), f32(1, 12, 48)], [f32(1, 10, 48)], 2 * 10 * 12 * (24 + 48)),
        (
            "Attention",
            {},
            [f32(1, 3, 1, 8), f32(1, 3, 1, 8), f32(1, 3, 1, 8), None, f32(1, 3, 9, 8), f32(1, 3, 9, 8)],
            [f32(1, 3, 1, 8)],
            2 * 3 * 10 * 16,
        ),
        ("MaxPool", {"kernel_shape": [3, 2]}, [f32(1, 4, 8, 8)], [f32(1, 4, 6, 7)], 4 * 42 * 6),
        ("GlobalAveragePool", {}, [f32(1, 4, 8, 8)], [f32(1, 4, 1, 1)], 256),
        ("ReduceMean", {}, [f32(2, 8)], [f32(2, 1)], 16),
        ("ReduceL2", {}, [f32(2, 8)], [f32(2, 1)], 32),
        ("LRN", {"size": 5}, [f32(1, 6, 2, 2)], [f32(1, 6, 2, 2)], 24 * 9),
        ("BatchNormalization", {}, [f32(1, 6, 2, 2)], [f32(1, 6, 2, 2)], 48),
        ("Softmax", {}, [f32(3, 7)], [f32(3, 7)], 105),
        ("Sum", {}, [f32(3), f32(3), f32(3)], [f32(3)], 6),
        ("Add", {}, [f32(3, 1), f32(1, 4)], [f32(3, 4)], 12),
        ("Concat", {"axis": 0}, [f32(3), f32(4)], [f32(7)], 0),
        ("Reshape", {}, [f32(3, 4), f32(1)], [f32(12)], 0),
        ("Gather", {}, [f32(1000, 64), f32(5)], [f32(5, 64)], 0),
        ("NeverHeardOf", {}, [f32(2)], [f32(3, 3)], 9),
        ("MatMul", {}, [None, f32(3, 5)], [f32(2, 5)], 0),
    ],
)
def test_operations(
    op: str,
    attributes: dict[str, Any],
    inputs: list[TensorType | None],
    outputs: list[TensorType | None],
    expected: int,
) -> None:
    node = helper.make_node(op, ["x"] * len(inputs), ["y"] * len(outputs), **attributes)
    assert node_flops(node, inputs, outputs) == expected


def test_the_table_names_real_operators() -> None:
    names = {schema.name for schema in onnx.defs.get_all_schemas_with_history()}
    # onnxruntime registers this one in the default domain.
    assert set(STANDARD) - names == {"SimplifiedLayerNormalization"}


def test_element_sizes() -> None:
    kinds = onnx.TensorProto.DataType
    expected = {"FLOAT": 32, "DOUBLE": 64, "FLOAT16": 16, "BFLOAT16": 16, "INT64": 64, "BOOL": 8, "INT4": 4, "UINT8": 8}
    expected |= {"FLOAT8E4M3FN": 8, "FLOAT4E2M1": 4, "COMPLEX64": 64, "COMPLEX128": 128}
    assert {name: element_bits(kinds.Value(name)) for name in expected} == expected
    assert element_bits(kinds.Value("STRING")) is None
    assert element_bits(kinds.Value("UNDEFINED")) is None
    assert element_bits(9999) is None
    assert type_name(kinds.Value("FLOAT")) == "float32"
    assert TensorType(4, (3,)).nbytes == 2
    assert TensorType(32, ()).nbytes == 4


def test_recurrences_and_attention_in_models() -> None:
    model = parser.parse_model(
        """<ir_version: 10, opset_import: ["": 23]>
        g (float[1, 2, 5, 8] q, float[1, 2, 7, 8] k, float[1, 2, 7, 8] v, int64[3] ids, float[50, 16] table)
            => (float[1, 2, 5, 8] y, float[3, 16] e)
        { y = Attention (q, k, v)  e = Gather (table, ids) }"""
    )
    costs = parse(model.SerializeToString(), "m.onnx").costs
    assert isinstance(costs, PhysicalCosts)
    assert costs.flops.tolist() == [2 * 2 * 5 * 7 * 16, 0]
    # A look-up reads the rows it returns, not the table.
    assert costs.accessed_bytes[1] == 2 * 3 * 16 * 4 + 3 * 8

"""Shapes of the results of onnxruntime's own operators, which the onnx package cannot infer.

By the schemas in onnxruntime's ContribOperators.md; those of operators that a standard operator can stand for are in
`framework.formats.onnx.shapes.stand_ins`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from framework.formats.onnx.operators.contrib import transposed_operand
from framework.formats.onnx.operators.standard import attribute
from framework.formats.onnx.shapes.stand_ins import NCHWC_DOMAIN

Shape: TypeAlias = tuple[int, ...]
Kind: TypeAlias = tuple[int, Shape]
"""Element type and shape."""

Kinds: TypeAlias = Sequence[Kind | None]
_Shaper: TypeAlias = Callable[[onnx.NodeProto, list[Kind]], Sequence[Kind | None]]


def contrib_kinds(node: onnx.NodeProto, inputs: Kinds, known: Mapping[str, NDArray[Any]]) -> list[Kind | None]:
    """Return element type and shape of a node's outputs as far as they follow from the inputs' alone.

    Parameters
    ----------
    inputs
        Element types and shapes of the inputs, None where absent or unknown.
    known
        Small values that are known.
    """
    shaper = _SHAPERS.get(node.op_type) if node.domain == "com.microsoft" else None
    if node.domain == NCHWC_DOMAIN:
        shaper = _BLOCKED.get(node.op_type)
    if node.op_type == "ExpandDims" and shaper is None:
        return _expanded(inputs, known.get(node.input[-1]))
    if shaper is None:
        return []
    try:
        return list(shaper(node, [kind or (0, ()) for kind in inputs]))
    except (IndexError, ValueError, ZeroDivisionError, TypeError):
        # An input that the operator needs is absent, unknown, or of a rank it cannot have.
        return []


def _expanded(inputs: Kinds, axis: NDArray[Any] | None) -> list[Kind | None]:
    if not inputs or inputs[0] is None or axis is None or axis.size != 1:
        return []
    kind, size = inputs[0]
    place = int(axis.item()) + (len(size) + 1 if axis.item() < 0 else 0)
    return [(kind, (*size[:place], 1, *size[place:]))]


def _like_first(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    return [_known(inputs[0])]


def _known(kind: Kind) -> Kind:
    if not kind[0]:
        raise ValueError("unknown")
    return kind


def _broadcast(*positions: int) -> _Shaper:
    def shaper(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
        kinds = [_known(inputs[i]) for i in positions]
        return [(kinds[-1][0], tuple(np.broadcast_shapes(*(size for _, size in kinds))))]

    return shaper


def _after_skip(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    mean = (TensorProto.FLOAT, (*size[:-1], 1))
    return [(kind, size), mean, mean, (kind, size)]


def _twice(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    return [_known(inputs[0])] * 2


def _product(left: Shape, right: Shape) -> Shape:
    if len(right) == 1 or len(left) == 1 or left[-1] != right[-2]:
        raise ValueError("no matrices")
    return (*np.broadcast_shapes(left[:-2], right[:-2]), left[-2], right[-1])


def _matrix_product(element: int | None = None, right: int = 1) -> _Shaper:
    """Return the shape of a product, in an element type of its own or that of the left matrix."""

    def shaper(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
        (kind, left), (_, other) = _known(inputs[0]), _known(inputs[right])
        sizes = transposed_operand(node, left, "A"), transposed_operand(node, other, "B")
        return [(kind if element is None else element, _product(*sizes))]

    return shaper


def _to_float(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    return _matrix_product(_known(inputs[2])[0])(node, inputs)  # type: ignore[return-value]


def _columns(*names: str) -> _Shaper:
    def shaper(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
        kind, size = _known(inputs[0])
        results: list[Kind | None] = [(kind, (*size[:-1], int(attribute(node, name, 0)))) for name in names]
        return [*results, (kind, size)]

    return shaper


def _rows_of_second(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    return [(kind, (*size[:-1], _known(inputs[1])[1][0]))]


def _projected(past: int, scale: int | None = None) -> _Shaper:
    """Return the shapes of attention that projects its input; `scale` is the input of the results' type."""

    def shaper(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
        kind, size = _known(inputs[0])
        weights = _known(inputs[1])[1]
        kind = kind if scale is None else _known(inputs[scale])[0]
        sizes = attribute(node, "qkv_hidden_sizes", []) or [weights[-1] // 3] * 3
        result = (kind, (*size[:-1], int(sizes[2])))
        before = inputs[past][1] if past < len(inputs) else ()
        heads = int(attribute(node, "num_heads", 1))
        length = before[3] if before and attribute(node, "past_present_share_buffer", 0) else size[1]
        if before and not attribute(node, "past_present_share_buffer", 0):
            length += before[3]
        return [result, (kind, (2, size[0], heads, length, int(sizes[1]) // heads))]

    return shaper


def _packed_attention(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    sizes = attribute(node, "qkv_hidden_sizes", []) or [_known(inputs[1])[1][-1] // 3] * 3
    return [(kind, (size[0], int(sizes[2])))]


def _multi_head(past: int) -> _Shaper:
    def shaper(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
        kind, query = _known(inputs[0])
        key, value = (inputs[i][1] if i < len(inputs) else () for i in (1, 2))
        heads, batch, new = int(attribute(node, "num_heads", 1)), query[0], query[1]
        if len(query) == 5 or len(key) == 5:
            size = value_size = query[4] if len(query) == 5 else query[2] // heads
            length = new if len(query) == 5 else key[1]
        elif len(key) == 4:
            size, value_size, length = key[3], value[3], key[2]
        else:
            size, value_size, length = query[2] // heads, value[2] // heads, key[1]
        before = inputs[past][1] if past < len(inputs) else ()
        if before:
            length = before[2] if attribute(node, "past_present_share_buffer", 0) else length + before[2]
        return [
            (kind, (batch, new, heads * value_size)),
            (kind, (batch, heads, length, size)),
            (kind, (batch, heads, length, value_size)),
            (kind, (batch, heads, new, length)),
        ]

    return shaper


def _grouped_query(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, query = _known(inputs[0])
    heads, groups = int(attribute(node, "num_heads", 1)), int(attribute(node, "kv_num_heads", 1))
    packed = len(inputs) < 2 or not inputs[1][0]
    size = query[2] // (heads + 2 * groups) if packed else query[2] // heads
    new = query[1] if packed else inputs[1][1][1]
    past_kind, before = inputs[3] if len(inputs) > 3 and inputs[3][0] else (kind, (0, 0, 0, 0))
    # Whether the past's buffer is the present's, only the run decides: then it keeps its length.
    present: Kind = (past_kind, (query[0], groups, before[2] + new, size))
    return [(kind, (query[0], query[1], heads * size)), present, present]


def _embedding(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    _, ids = _known(inputs[0])
    quantised = node.op_type.startswith("Q")
    kind = _known(inputs[8])[0] if quantised else _known(inputs[2])[0]
    size = (*ids, _known(inputs[2])[1][1])
    return [(kind, size), (TensorProto.INT32, ids[:1]), (kind, size)]


def _split_gelu(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    return [(kind, (*size[:-1], size[-1] // 2))]


def _dropout(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    if node.op_type.startswith("Bitmask"):
        return [(kind, size), (TensorProto.UINT32, (-(-math.prod(size) // 32),))]
    return [(kind, size), (TensorProto.BOOL, size)]


def _quantized(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    zero = inputs[2][0] if len(inputs) > 2 else 0
    return [(zero or TensorProto.UINT8, _known(inputs[0])[1])]


def _dequantized(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    return [(_known(inputs[1])[0], _known(inputs[0])[1])]


def _rows(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    """Rows of a table, gathered: of the scales' type where it is quantised, and then packed by the number of bits."""
    (kind, table), (_, indices) = _known(inputs[0]), _known(inputs[1])
    if node.op_type == "TorchEmbedding":
        return [(kind, (*indices, table[1]))]
    axis = int(attribute(node, "gather_axis", 0)) % len(table)
    packed = 8 // int(attribute(node, "bits", 4)) if kind == TensorProto.UINT8 else 1
    last = (*table[:-1], table[-1] * packed)
    return [(_known(inputs[2])[0], (*last[:axis], *indices, *last[axis + 1 :]))]


def _fourier(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    if node.op_type == "Rfft":
        return [(kind, (*size[:-1], size[-1] // 2 + 1, 2))]
    return [(kind, (*size[:-2], 2 * (size[-2] - 1)))]


def _distances(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    (kind, left), (_, right) = _known(inputs[0]), _known(inputs[1])
    return [(kind, (left[0], right[0]))]


def _position_bias(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, query = _known(inputs[0])
    _, relative = _known(inputs[2])
    offsets = inputs[6][1] if len(inputs) > 6 and inputs[6][0] else query
    return [(kind, (offsets[0], int(attribute(node, "num_heads", relative[1])), *relative[2:]))]


def _delta(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, query = _known(inputs[0])
    value = _known(inputs[2])[1]
    heads, groups = int(attribute(node, "q_num_heads", 1)), int(attribute(node, "kv_num_heads", 1))
    size, value_size = query[2] // heads, value[2] // groups
    state = inputs[3] if len(inputs) > 3 and inputs[3][0] else (kind, (query[0], groups, size, value_size))
    return [(kind, (*query[:2], max(heads, groups) * value_size)), state]


def _causal_convolution(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    state = (*size[:2], _known(inputs[1])[1][2] - 1)
    return [(kind, size), (kind, state)] if len(size) == 3 else [(kind, size)]


def _recurrence(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    directions, hidden = _known(inputs[2])[1][:2]
    last: Kind = (kind, (directions, size[1], hidden))
    return [(kind, (size[0], directions, size[1], hidden)), last, last]


def _unfolded(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    axis = int(attribute(node, "dim", -1)) % len(size)
    length, step = int(attribute(node, "size", 1)), int(attribute(node, "step", 1))
    return [(kind, (*size[:axis], (size[axis] - length) // step + 1, *size[axis + 1 :], length))]


def _first_type(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    return [(TensorProto.INT32, np.broadcast_shapes(_known(inputs[0])[1], _known(inputs[2])[1]))]


_SHAPERS: dict[str, _Shaper] = {
    **dict.fromkeys(
        (
            "BiasAdd", "BiasGelu", "BiasSoftmax", "BranchwiseRMSNorm", "ComplexMul", "ComplexMulConj", "FastGelu",
            "GatedAdd", "GatedRMSNorm", "Gelu", "GroupNorm", "Inverse", "LongformerAttention", "MoE",
            "MRotaryEmbedding", "QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax", "QMoE", "QOrderedAttention",
            "QOrderedGelu", "QOrderedLayerNormalization", "QuickGelu", "RotaryEmbedding", "ScaledSiLU", "SwiGLU",
            "Trilu",
        ),
        _like_first,
    ),
    "Attention": _projected(4),
    "BiasDropout": _dropout,
    "BiasSplitGelu": _split_gelu,
    "BitmaskBiasDropout": _dropout,
    "BitmaskDropout": _dropout,
    "CDist": _distances,
    "CausalConvWithState": _causal_convolution,
    "DecoderAttention": _like_first,
    "DecoderMaskedMultiHeadAttention": _multi_head(5),
    "DecoderMaskedSelfAttention": _projected(4),
    "DequantizeLinear": _dequantized,
    "DynamicQuantizeLSTM": _recurrence,
    "DynamicQuantizeMatMul": _matrix_product(),
    "EmbedLayerNormalization": _embedding,
    "FusedMatMul": _matrix_product(),
    "FusedMatMulActivation": _matrix_product(),
    "GatedRelativePositionBias": _position_bias,
    "GatherBlockQuantized": _rows,
    "GemmFastGelu": _matrix_product(),
    "GroupQueryAttention": _grouped_query,
    "Irfft": _fourier,
    "LinearAttention": _delta,
    "MatMulBlockQuantizedFp4Weight": _rows_of_second,
    "MatMulBlockQuantizedFp8Weight": _rows_of_second,
    "MatMulBnb4": _columns("N"),
    "MatMulInteger16": _matrix_product(TensorProto.INT32),
    "MatMulIntegerToFloat": _to_float,
    "MatMulNBits": _columns("N"),
    "MatMulNBitsMlp": _columns("N"),
    "MatMulNBitsQLoRA": _columns("N"),
    "MatMulNBitsQkv": _columns("Nq", "Nkv", "Nkv"),
    "MatMulPacked": _columns("N"),
    "MulInteger": _first_type,
    "MultiHeadAttention": _multi_head(6),
    "PackedAttention": _packed_attention,
    "QAttention": _projected(8, scale=3),
    "QEmbedLayerNormalization": _embedding,
    "QLinearAdd": _broadcast(0, 3),
    "QLinearMul": _broadcast(0, 3),
    "QLinearWhere": _broadcast(0, 4, 1),
    "QOrderedMatMul": _matrix_product(right=2),
    "QuantizeLinear": _quantized,
    "Rfft": _fourier,
    "SkipGroupNorm": _twice,
    "SkipLayerNormalization": _after_skip,
    "SkipSimplifiedLayerNormalization": _after_skip,
    "SparseAttention": _grouped_query,
    "TorchEmbedding": _rows,
    "TransposeMatMul": _matrix_product(),
    "UnfoldTensor": _unfolded,
}  # fmt: skip


def _reordered_input(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    return [(kind, (size[0], size[-1], *size[1:-1]) if attribute(node, "channels_last", 0) else size)]


def _reordered_output(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    channels = int(attribute(node, "channels", size[1]))
    last = attribute(node, "channels_last", 0)
    return [(kind, (size[0], *size[2:], channels) if last else (size[0], channels, *size[2:]))]


def _enlarged(node: onnx.NodeProto, inputs: list[Kind]) -> list[Kind | None]:
    kind, size = _known(inputs[0])
    factors = attribute(node, "scales", [1] * len(size))
    return [(kind, tuple(int(a * b) for a, b in zip(size, factors, strict=True)))]


_BLOCKED: dict[str, _Shaper] = {
    "ReorderInput": _reordered_input,
    "ReorderOutput": _reordered_output,
    "Upsample": _enlarged,
}

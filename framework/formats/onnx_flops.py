"""Floating point operations of ONNX operators: one multiply-add counts as two, comparisons and look-ups as one.

Exact for what dominates (convolutions, matrix products, recurrences, attention); everything else is proportional to
the elements written (or, for reductions, read), by a small table of the operations per element of the usual
algorithms. Biases are not counted, in line with the usual counters.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import onnx

from framework.formats.onnx_values import TensorType

Types: TypeAlias = Sequence[TensorType | None]

SHAPE_ONLY = frozenset(
    {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape", "Size", "Constant", "Optional"}
)
"""Operators that touch no data: they cost nothing, but stay nodes."""

PARTIAL_READS = frozenset({"Gather", "GatherElements", "GatherND", "Slice"})
"""Operators that read of their first input only what they write."""

_MOVES = frozenset(
    {
        "Cast", "CastLike", "Compress", "Concat", "ConstantOfShape", "DepthToSpace", "Expand", "EyeLike", "Gather",
        "GatherElements", "GatherND", "NonZero", "OneHot", "Pad", "Range", "ReverseSequence", "Scatter",
        "ScatterElements", "ScatterND", "Slice", "SpaceToDepth", "Split", "Tile", "Transpose", "Trilu", "Upsample",
    }
)  # fmt: skip
"""Operators that only move data."""

_PER_OUTPUT = {
    "BatchNormalization": 2, "Celu": 4, "DequantizeLinear": 2, "Elu": 3, "Erf": 8, "Gelu": 8,
    "GroupNormalization": 8, "HardSigmoid": 3, "HardSwish": 4, "InstanceNormalization": 8, "LayerNormalization": 8,
    "LeakyRelu": 2, "LogSoftmax": 5, "LpNormalization": 3, "MeanVarianceNormalization": 8, "Mish": 8, "PRelu": 2,
    "QuantizeLinear": 3, "RMSNormalization": 5, "Resize": 7, "RotaryEmbedding": 3, "Selu": 3, "Sigmoid": 4,
    "Softmax": 5, "Softplus": 3, "Softsign": 3, "Swish": 5, "Tanh": 6,
}  # fmt: skip
"""Operations per element written, where it is not one."""

_PER_INPUT = {
    "ArgMax": 1, "ArgMin": 1, "CumSum": 1, "GlobalAveragePool": 1, "GlobalLpPool": 2, "GlobalMaxPool": 1,
    "ReduceL1": 2, "ReduceL2": 2, "ReduceLogSum": 1, "ReduceLogSumExp": 4, "ReduceMax": 1, "ReduceMean": 1,
    "ReduceMin": 1, "ReduceProd": 1, "ReduceSum": 1, "ReduceSumSquare": 2, "TopK": 1, "NonMaxSuppression": 4,
}  # fmt: skip
"""Operations per element of the first input."""


def node_flops(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Return the operations of one run of a node; what has no known shape counts nothing.

    Parameters
    ----------
    inputs, outputs
        The types of the node's inputs and outputs, None where absent or unknown.
    """
    op = node.op_type
    if op in SHAPE_ONLY or op in _MOVES:
        return 0
    special = _SPECIAL.get(op)
    if special is not None:
        return special(node, inputs, outputs)
    if op in _PER_INPUT:
        return _PER_INPUT[op] * _elements(inputs, 0)
    return _PER_OUTPUT.get(op, 1) * _elements(outputs, 0)


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return an attribute of a node, or `default`."""
    for held in node.attribute:
        if held.name == name:
            return onnx.helper.get_attribute_value(held)
    return default


def _elements(types: Types, index: int) -> int:
    found = types[index] if index < len(types) else None
    return 0 if found is None else found.elements


def _shape(types: Types, index: int) -> tuple[int, ...]:
    found = types[index] if index < len(types) else None
    return () if found is None else found.shape


def _convolution(weight: int) -> Callable[[onnx.NodeProto, Types, Types], int]:
    """Each output element takes one multiply-add per weight of its filter."""
    return lambda node, inputs, outputs: 2 * _elements(outputs, 0) * math.prod(_shape(inputs, weight)[1:])


def _transposed_convolution(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Each input element takes one multiply-add per weight of its filter."""
    return 2 * _elements(inputs, 0) * math.prod(_shape(inputs, 1)[1:])


def _matrix_product(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    inner = _shape(inputs, 0)[-1:]
    return 2 * _elements(outputs, 0) * (inner[0] if inner else 0)


def _gemm(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    left = _shape(inputs, 0)
    inner = left[0 if attribute(node, "transA", 0) else -1] if left else 0
    return 2 * _elements(outputs, 0) * inner


def _recurrence(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """LSTM, GRU, RNN: every weight (input and recurrent, all gates and directions) is used once a step and sample."""
    steps_and_samples = math.prod(_shape(inputs, 0)[:2]) if inputs else 0
    return 2 * steps_and_samples * (_elements(inputs, 1) + _elements(inputs, 2))


def _attention(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Q K^T and (softmax) V: each element of Q, and of the output, meets every key."""
    keys = _shape(inputs, 1)[-2:-1]
    past = _shape(inputs, 4)[-2:-1]
    length = sum(keys) + sum(past)
    return 2 * length * (_elements(inputs, 0) + _elements(outputs, 0))


def _einsum(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Every combination of all indices takes one multiplication per operand beyond the first, and one addition."""
    equation = attribute(node, "equation", b"").decode().replace(" ", "")
    sizes: dict[str, int] = {}
    for term, operand in zip(equation.split("->")[0].split(","), inputs, strict=False):
        shape = operand.shape if operand is not None else ()
        head, dots, tail = term.partition("...")
        ellipsis = len(shape) - len(head) - len(tail) if dots else 0
        labels = [*head, *(f"...{ellipsis - i}" for i in range(ellipsis)), *tail]
        for label, size in zip(labels, shape, strict=False):
            sizes[label] = max(size, sizes.get(label, 1))
    return max(len(inputs), 2) * math.prod(sizes.values()) if sizes else 0


def _pooling(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    window: list[int] = attribute(node, "kernel_shape", [1])
    return _elements(outputs, 0) * math.prod(window)


def _local_response(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Squares over a window of channels, then a scale, a power and a division."""
    return _elements(outputs, 0) * (int(attribute(node, "size", 1)) + 4)


def _variadic(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    return _elements(outputs, 0) * max(len(inputs) - 1, 0)


_SPECIAL: dict[str, Callable[[onnx.NodeProto, Types, Types], int]] = {
    "Attention": _attention,
    "AveragePool": _pooling,
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "ConvTranspose": _transposed_convolution,
    "DeformConv": _convolution(1),
    "Einsum": _einsum,
    "GRU": _recurrence,
    "Gemm": _gemm,
    "LRN": _local_response,
    "LSTM": _recurrence,
    "LpPool": _pooling,
    "MatMul": _matrix_product,
    "MatMulInteger": _matrix_product,
    "Max": _variadic,
    "MaxPool": _pooling,
    "Mean": _variadic,
    "Min": _variadic,
    "QLinearConv": _convolution(3),
    "QLinearMatMul": _matrix_product,
    "RNN": _recurrence,
    "Sum": _variadic,
}

COUNTED = frozenset({*SHAPE_ONLY, *_MOVES, *_PER_OUTPUT, *_PER_INPUT, *_SPECIAL})
"""Operators with a cost rule of their own, in whatever domain."""

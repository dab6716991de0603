"""Floating point operations of the standard ONNX operators: a multiply-add counts as two, a comparison as one.

Exact for what dominates (convolutions, matrix products, recurrences, attention); everything else is proportional to
the elements written (or, for reductions, read), by a small table of the operations per element of the usual
algorithms. Biases are not counted, in line with the usual counters. What an operator of another domain costs is in
`framework.formats.onnx.operators.rules`, which also chooses the rule of a node.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import onnx

from framework.errors import UserError
from framework.formats.onnx.tensor_types import TensorType

Types: TypeAlias = Sequence[TensorType | None]

Rule: TypeAlias = Callable[[onnx.NodeProto, Types, Types], int]
"""The operations of one run of a node, from the types of its inputs and outputs (None where unknown)."""

SHAPE_ONLY = frozenset(
    {
        "BitCast", "Constant", "Dropout", "Flatten", "Identity", "Optional", "OptionalGetElement",
        "OptionalHasElement", "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze",
    }
)  # fmt: skip
"""Operators that touch no data: they cost nothing, but stay nodes."""

MOVES = frozenset(
    {
        "Cast", "CastLike", "CenterCropPad", "Compress", "Concat", "ConcatFromSequence", "ConstantOfShape",
        "DepthToSpace", "Expand", "EyeLike", "Gather", "GatherElements", "GatherND", "MaxUnpool", "NonZero", "OneHot",
        "Pad", "Range", "ReverseSequence", "Scatter", "ScatterElements", "ScatterND", "SequenceAt",
        "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "Slice",
        "SpaceToDepth", "Split", "SplitToSequence", "StringConcat", "StringNormalizer", "StringSplit", "TensorScatter",
        "Tile", "Transpose", "Trilu", "Upsample",
    }
)  # fmt: skip
"""Operators that only move data."""

_ELEMENTWISE = frozenset(
    {
        "Abs", "Acos", "Acosh", "Add", "And", "Asin", "Asinh", "Atan", "Atanh", "Bernoulli", "BitShift", "BitwiseAnd",
        "BitwiseNot", "BitwiseOr", "BitwiseXor", "Ceil", "Clip", "Cos", "Cosh", "Div", "Equal", "Exp", "Floor",
        "Greater", "GreaterOrEqual", "Hardmax", "IsInf", "IsNaN", "Less", "LessOrEqual", "Log", "Mod", "Mul", "Neg",
        "Not", "Or", "Pow", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Reciprocal",
        "RegexFullMatch", "Relu", "Round", "Shrink", "Sign", "Sin", "Sinh", "Sqrt", "Sub", "Tan", "ThresholdedRelu",
        "Where", "Xor",
    }
)  # fmt: skip
"""Operators of one operation per element written."""

_PER_OUTPUT = {
    "BatchNormalization": 2, "BlackmanWindow": 5, "Celu": 4, "DequantizeLinear": 2, "DynamicQuantizeLinear": 5,
    "Elu": 3, "Erf": 8, "Gelu": 8, "GroupNormalization": 8, "HammingWindow": 3, "HannWindow": 3, "HardSigmoid": 3,
    "HardSwish": 4, "InstanceNormalization": 8, "LayerNormalization": 8, "LeakyRelu": 2, "LogSoftmax": 5,
    "LpNormalization": 3, "MeanVarianceNormalization": 8, "MelWeightMatrix": 4, "Mish": 8, "PRelu": 2,
    "QuantizeLinear": 3, "RMSNormalization": 5, "Resize": 7, "RotaryEmbedding": 3, "Selu": 3, "Sigmoid": 4,
    "SimplifiedLayerNormalization": 5, "Softmax": 5, "Softplus": 3, "Softsign": 3, "SwiGLU": 6, "Swish": 5, "Tanh": 6,
}  # fmt: skip
"""Operations per element written, where it is not one."""

_PER_INPUT = {
    "ArgMax": 1, "ArgMin": 1, "Col2Im": 1, "CumProd": 1, "CumSum": 1, "GlobalAveragePool": 1, "GlobalLpPool": 2,
    "GlobalMaxPool": 1, "Multinomial": 2, "NegativeLogLikelihoodLoss": 1, "NonMaxSuppression": 4, "ReduceL1": 2,
    "ReduceL2": 2, "ReduceLogSum": 1, "ReduceLogSumExp": 4, "ReduceMax": 1, "ReduceMean": 1, "ReduceMin": 1,
    "ReduceProd": 1, "ReduceSum": 1, "ReduceSumSquare": 2, "SoftmaxCrossEntropyLoss": 6, "TopK": 1,
}  # fmt: skip
"""Operations per element of the first input."""


def per_output(operations: int) -> Rule:
    """Return the rule of so many operations per element of the first output."""
    return lambda node, inputs, outputs: operations * elements(outputs, 0)


def per_input(operations: int) -> Rule:
    """Return the rule of so many operations per element of the first input."""
    return lambda node, inputs, outputs: operations * elements(inputs, 0)


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """Return an attribute of a node, or `default`.

    Raises
    ------
    UserError
        If its type is not that of the default: number, list or text. None takes any.
    """
    for held in node.attribute:
        if held.name == name:
            try:
                value = onnx.helper.get_attribute_value(held)
            except ValueError:
                value = None
            if value is None or _kind(default) not in (None, _kind(value)):
                raise UserError(
                    f"the attribute {name!r} of a node {node.op_type!r} is no {_kind(default) or 'value'}",
                    where=f"node {node.name!r}" if node.name else "",
                    hint="check the model with onnx.checker",
                )
            return value
    return default


def _kind(value: Any) -> str | None:
    kinds = {"number": (int, float), "text": (bytes, str), "list": (list, tuple)}
    return next((kind for kind, types in kinds.items() if isinstance(value, types)), None)


def elements(types: Types, index: int) -> int:
    """Return the number of elements of a value; 0 where it is absent or unknown."""
    found = types[index] if index < len(types) else None
    return 0 if found is None else found.elements


def shape(types: Types, index: int) -> tuple[int, ...]:
    """Return the shape of a value; () where it is absent or unknown."""
    found = types[index] if index < len(types) else None
    return () if found is None else found.shape


def convolution(weight: int) -> Rule:
    """Return the rule of a convolution: each output element takes one multiply-add per weight of its filter."""
    return lambda node, inputs, outputs: 2 * elements(outputs, 0) * math.prod(shape(inputs, weight)[1:])


def transposed_convolution(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Each input element takes one multiply-add per weight of its filter."""
    return 2 * elements(inputs, 0) * math.prod(shape(inputs, 1)[1:])


def matrix_product(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Each output element takes one multiply-add per column of the left matrix."""
    inner = shape(inputs, 0)[-1:]
    return 2 * elements(outputs, 0) * (inner[0] if inner else 0)


def gemm(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Each output element takes one multiply-add per column of the left matrix, or per row where it is transposed."""
    left = shape(inputs, 0)
    inner = left[0 if attribute(node, "transA", 0) else -1] if left else 0
    return 2 * elements(outputs, 0) * inner


def recurrence(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """LSTM, GRU, RNN: every weight (input and recurrent, all gates and directions) is used once a step and sample."""
    steps_and_samples = math.prod(shape(inputs, 0)[:2]) if inputs else 0
    return 2 * steps_and_samples * (elements(inputs, 1) + elements(inputs, 2))


def _attention(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Q K^T and (softmax) V: each element of Q, and of the output, meets every key."""
    keys = shape(inputs, 1)[-2:-1]
    past = shape(inputs, 4)[-2:-1]
    length = sum(keys) + sum(past)
    return 2 * length * (elements(inputs, 0) + elements(outputs, 0))


def linear_attention(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """A step of a head reads its state (d_k x d_v) once for the output and adds to it once; delta rules read twice."""
    rule: bytes = attribute(node, "update_rule", b"gated_delta")
    passes = 3 if b"delta" in rule else 2
    heads = max(int(attribute(node, "q_num_heads", 1)), 1)
    width = shape(inputs, 0)[-1:]
    return 2 * passes * elements(outputs, 0) * (width[0] // heads if width else 0)


def causal_convolution(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Depthwise: each output element takes one multiply-add per weight of its channel."""
    return 2 * elements(outputs, 0) * math.prod(shape(inputs, 1)[2:])


def _deformable_convolution(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """A convolution, after every element under a window was interpolated from four."""
    weight, written = shape(inputs, 1), shape(outputs, 0)
    channels = shape(inputs, 0)[1:2]
    if len(written) < 2 or not channels:
        return 0
    windows = written[0] * math.prod(written[2:]) * channels[0] * math.prod(weight[2:])
    return 2 * elements(outputs, 0) * math.prod(weight[1:]) + 7 * windows


def fourier(length: int, transforms: int, *, real: bool) -> int:
    """Return the operations of Fourier transforms: 5 n log2 n each, half of it for real numbers (Cooley and Tukey)."""
    if length < 2:
        return 0
    return math.ceil((2.5 if real else 5.0) * length * math.log2(length)) * transforms


def _discrete_fourier(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    read, written = shape(inputs, 0), shape(outputs, 0)
    axes = range(len(written) - 1)
    axis = int(attribute(node, "axis", -2 if len(inputs) < 3 else 1))
    axis = axis + len(written) if axis < 0 else axis
    if not written or axis not in axes or len(read) != len(written):
        return 0
    length = max(read[axis], written[axis])
    others = math.prod(size for i, size in enumerate(written[:-1]) if i != axis)
    return fourier(length, others, real=read[-1] == 1)


def _short_time_fourier(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """One windowed transform per frame; a one-sided result tells the length of a frame."""
    written = shape(outputs, 0)
    if len(written) != 4:
        return 0
    length = 2 * (written[2] - 1) if attribute(node, "onesided", 1) else written[2]
    frames = written[0] * written[1]
    return fourier(length, frames, real=shape(inputs, 0)[-1:] != (2,)) + frames * length


def _determinant(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    side = shape(inputs, 0)[-1:]
    return 2 * elements(inputs, 0) * side[0] // 3 if side else 0


def grid_sample(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Interpolate between 2 (linear) or 4 (cubic) neighbours along each axis, for every channel."""
    mode = attribute(node, "mode", b"linear").decode()
    neighbours = {"nearest": 1, "cubic": 4, "bicubic": 4}.get(mode, 2)
    met = math.prod([neighbours] * max(len(shape(inputs, 0)) - 2, 0))
    return elements(outputs, 0) * (2 * met - 1)


def _affine_grid(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    axes = shape(outputs, 0)[-1:]
    return 2 * elements(outputs, 0) * (axes[0] + 1) if axes else 0


def _regions(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Each output element is taken from samples of its part of a region (RoiAlign: bilinear, 7 operations each)."""
    samples = int(attribute(node, "sampling_ratio", 0)) or 2
    return elements(outputs, 0) * samples**2 * (8 if node.op_type == "RoiAlign" else 1)


def _sorting(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    count = elements(inputs, 0)
    return count * max(count - 1, 0).bit_length()


def _ngrams(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    lengths = int(attribute(node, "max_gram_length", 1)) - int(attribute(node, "min_gram_length", 1)) + 1
    return elements(inputs, 0) * lengths * (int(attribute(node, "max_skip_count", 0)) + 1)


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


def pooling(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Each output element takes one operation per element of its window."""
    window: list[int] = attribute(node, "kernel_shape", [1])
    return elements(outputs, 0) * math.prod(window)


def _local_response(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Squares over a window of channels, then a scale, a power and a division."""
    return elements(outputs, 0) * (int(attribute(node, "size", 1)) + 4)


def _variadic(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    return elements(outputs, 0) * max(len(inputs) - 1, 0)


_SPECIAL: dict[str, Rule] = {
    "AffineGrid": _affine_grid,
    "Attention": _attention,
    "AveragePool": pooling,
    "CausalConvWithState": causal_convolution,
    "Conv": convolution(1),
    "ConvInteger": convolution(1),
    "ConvTranspose": transposed_convolution,
    "DFT": _discrete_fourier,
    "DeformConv": _deformable_convolution,
    "Det": _determinant,
    "Einsum": _einsum,
    "GRU": recurrence,
    "Gemm": gemm,
    "GridSample": grid_sample,
    "LRN": _local_response,
    "LSTM": recurrence,
    "LinearAttention": linear_attention,
    "LpPool": pooling,
    "MatMul": matrix_product,
    "MatMulInteger": matrix_product,
    "Max": _variadic,
    "MaxPool": pooling,
    "MaxRoiPool": _regions,
    "Mean": _variadic,
    "Min": _variadic,
    "QLinearConv": convolution(3),
    "QLinearMatMul": matrix_product,
    "RNN": recurrence,
    "RoiAlign": _regions,
    "STFT": _short_time_fourier,
    "Sum": _variadic,
    "TfIdfVectorizer": _ngrams,
    "Unique": _sorting,
}

STANDARD: dict[str, Rule] = {
    **dict.fromkeys(SHAPE_ONLY | MOVES, per_output(0)),
    **dict.fromkeys(_ELEMENTWISE, per_output(1)),
    **{op: per_output(count) for op, count in _PER_OUTPUT.items()},
    **{op: per_input(count) for op, count in _PER_INPUT.items()},
    **_SPECIAL,
}
"""The rules of the operators of the default domain."""

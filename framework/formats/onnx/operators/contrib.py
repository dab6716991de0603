"""Floating point operations of the operators that onnxruntime's and Hugging Face optimum's optimisers write.

They live in the domain com.microsoft, and share names with standard operators of another meaning: com.microsoft's
Attention projects its input first. Formulas by the schemas in onnxruntime's ContribOperators.md, in the convention of
`framework.formats.onnx.operators.standard`; what is quantised costs what the same operator costs in floating point.
"""

from __future__ import annotations

import math

import onnx

from framework.formats.onnx.operators.standard import (
    STANDARD,
    Rule,
    Types,
    attribute,
    causal_convolution,
    convolution,
    elements,
    fourier,
    gemm,
    grid_sample,
    linear_attention,
    matrix_product,
    per_input,
    per_output,
    pooling,
    recurrence,
    shape,
    transposed_convolution,
)


def _projected(weight: int, past: int) -> Rule:
    """Return the rule of attention over one input: its projection to Q, K and V, then `_scores`."""

    def rule(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
        read, weights = shape(inputs, 0), shape(inputs, weight)
        if not read or not weights:
            return 0
        tokens = elements(inputs, 0) // max(read[-1], 1)
        sizes = [int(size) for size in attribute(node, "qkv_hidden_sizes", [])] or [weights[-1] // 3] * 3
        length = _total_length(read[-2:-1], shape(inputs, past)[-2:-1], shape(outputs, 1)[-2:-1])
        return 2 * tokens * math.prod(weights) + _scores(tokens, length, sizes[0], sizes[2])

    return rule


def _scores(tokens: int, length: int, hidden: int, value_hidden: int) -> int:
    """Q K^T and (softmax) V: each element of Q, and of the output, meets every key."""
    return 2 * tokens * length * (hidden + value_hidden)


def _total_length(new: tuple[int, ...], past: tuple[int, ...], present: tuple[int, ...]) -> int:
    """Return the number of keys: as many as the present state holds, which may be a buffer shared with the past."""
    return sum(present) or sum(new) + sum(past)


def _packed_attention(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Without padding: the tokens of a batch in one row; each attends to the longest sequence at most."""
    tokens, weights, length = shape(inputs, 0)[:1], shape(inputs, 1), shape(inputs, 3)[-1:]
    if not tokens or not weights:
        return 0
    sizes = [int(size) for size in attribute(node, "qkv_hidden_sizes", [])] or [weights[-1] // 3] * 3
    return 2 * tokens[0] * math.prod(weights) + _scores(tokens[0], sum(length), sizes[0], sizes[2])


def _multi_head(past: int) -> Rule:
    """Return the rule of attention between separate queries, keys and values, or packed ones."""

    def rule(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
        query, key = shape(inputs, 0), shape(inputs, 1)
        # (batch, length, heads, 3, size) where packed; keys come as (batch, heads, length, size) from a cache.
        queried = elements(inputs, 0) // (3 if len(query) == 5 else 1)
        new = (key[2:3] if len(key) == 4 else key[1:2]) or query[1:2]
        length = _total_length(new, shape(inputs, past)[2:3], shape(outputs, 1)[2:3])
        return 2 * length * (queried + elements(outputs, 0))

    return rule


def _packed_multi_head(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    queried = elements(inputs, 0) // (3 if len(shape(inputs, 0)) == 4 else 1)
    return 2 * sum(shape(inputs, 4)[-1:]) * (queried + elements(outputs, 0))


def _grouped_length(inputs: Types, outputs: Types) -> int:
    new = shape(inputs, 1)[1:2] or shape(inputs, 0)[1:2]
    return _total_length(new, shape(inputs, 3)[2:3], shape(outputs, 1)[2:3])


def _grouped_query(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Every query head, and so every element of the output, meets all keys, whatever heads share them."""
    return 4 * _grouped_length(inputs, outputs) * elements(outputs, 0)


def _sparse_attention(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """As `_grouped_query`, but a row of blocks meets only those that the layout lists."""
    length, rows, listed = _grouped_length(inputs, outputs), shape(inputs, 5), shape(inputs, 6)
    if len(rows) == 2 and len(listed) == 2 and rows[1] > 1:
        block = int(attribute(node, "sparse_block_size", 64))
        length = min(length, math.ceil(listed[1] * block / (rows[1] - 1)))
    return 4 * length * elements(outputs, 0)


def _paged_attention(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """The table of pages bounds how many keys a token meets."""
    pages, cache = shape(inputs, 7)[-1:], shape(inputs, 3)[1:2]
    return 4 * sum(pages) * sum(cache) * elements(outputs, 0)


def _longformer(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Two projections, for local and for global attention; each token meets a window on either side."""
    read = shape(inputs, 0)
    if len(read) != 3:
        return 0
    tokens, keys = read[0] * read[1], min(2 * int(attribute(node, "window", 0)) + 1, read[1])
    weights = elements(inputs, 1) + elements(inputs, 4)
    return 2 * tokens * weights + _scores(tokens, keys, read[2], read[2])


def _decoder_attention(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """Queries and keys are projected; a cache, if there is one, holds no more keys than are given here."""
    query, key = shape(inputs, 0), shape(inputs, 1)
    if len(query) != 3 or len(key) != 3:
        return 0
    projections = query[0] * query[1] * elements(inputs, 2) + key[0] * key[1] * elements(inputs, 3)
    return 2 * projections + _scores(query[0] * query[1], key[0], query[2], query[2])


def _ordered_attention(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    read = shape(inputs, 0)
    if len(read) != 3:
        return 0
    tokens = read[0] * read[1]
    weights = sum(elements(inputs, i) for i in (5, 6, 7))
    return 2 * tokens * weights + _scores(tokens, read[1], sum(shape(inputs, 5)[-1:]), sum(shape(inputs, 7)[-1:]))


def transposed_operand(node: onnx.NodeProto, size: tuple[int, ...], side: str) -> tuple[int, ...]:
    """Return the shape of an operand of FusedMatMul as it is multiplied; `side` is A or B."""
    if len(size) > 2 and attribute(node, f"transBatch{side}", 0):
        size = (*size[1:-1], size[0], size[-1])
    if len(size) > 1 and attribute(node, f"trans{side}", 0):
        size = (*size[:-2], size[-1], size[-2])
    return size


def _fused_product(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    return 2 * elements(outputs, 0) * sum(transposed_operand(node, shape(inputs, 0), "A")[-1:])


def _columns(*names: str) -> Rule:
    """Return the rule of products with packed weights: attributes tell how many columns they have."""
    return lambda node, inputs, outputs: 2 * elements(inputs, 0) * sum(int(attribute(node, n, 0)) for n in names)


def _query_key_value(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    columns = int(attribute(node, "Nq", 0)) + 2 * int(attribute(node, "Nkv", 0))
    return 2 * elements(inputs, 0) * columns + _norm_before(inputs)


def _gated_product(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    columns = 2 * int(attribute(node, "N", 0))
    return 2 * elements(inputs, 0) * columns + 6 * elements(outputs, 0) + _norm_before(inputs)


def _norm_before(inputs: Types) -> int:
    skip, norm = elements(inputs, 1), elements(inputs, 2)
    return skip + (5 * elements(inputs, 0) if norm else 0)


def _experts(weights: tuple[int, int, int], *, packed: bool) -> Rule:
    """Return the rule of a mixture of experts: each token passes k of them."""

    def rule(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
        read = shape(inputs, 0)
        if not read:
            return 0
        tokens, chosen = elements(inputs, 0) // max(read[-1], 1), int(attribute(node, "k", 1))
        bits = int(attribute(node, "expert_weight_bits", 4)) if packed else 8
        per_expert = sum(math.prod(shape(inputs, i)[1:]) for i in weights if shape(inputs, i))
        return 2 * tokens * chosen * per_expert * 8 // bits

    return rule


def _gated_delta(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    state = shape(inputs, 6)
    passes = 2 if attribute(node, "update_rule", b"gated_delta").decode() in ("linear", "gated") else 3
    return 2 * passes * elements(outputs, 0) * (state[-1] if len(state) == 4 else sum(shape(inputs, 0)[-1:]))


def _relative_position(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    """A small product gates every head; then each pair of positions is scaled."""
    return 2 * elements(inputs, 0) * sum(shape(inputs, 3)[-1:]) + elements(inputs, 0) + elements(outputs, 0)


def _real_fourier(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    axes = int(attribute(node, "signal_ndim", 1))
    inverse = node.op_type == "Irfft"
    sizes = shape(outputs if inverse else inputs, 0)
    return fourier(math.prod(sizes[-axes:]), math.prod(sizes[:-axes]), real=True) if len(sizes) >= axes else 0


def _distances(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    return 3 * elements(outputs, 0) * sum(shape(inputs, 0)[-1:])


def _inverse(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    return 2 * elements(inputs, 0) * sum(shape(inputs, 0)[-1:])


def _normalized(operations: int) -> Rule:
    """Return the rule of a normalisation after a sum: one more operation per further addend."""

    def rule(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
        bias = 4 if node.op_type in ("SkipLayerNormalization", "SkipGroupNorm") else 3
        addends = 1 + (bias < len(inputs) and elements(inputs, bias) > 0)
        return (operations + addends) * elements(outputs, 0)

    return rule


def _group_norm(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    return (8 + (5 if attribute(node, "activation", None) else 0)) * elements(outputs, 0)


def _with_bias(operations: int, bias: int = 1) -> Rule:
    return lambda node, inputs, outputs: (operations + (elements(inputs, bias) > 0)) * elements(outputs, 0)


def _word_convolution(node: onnx.NodeProto, inputs: Types, outputs: Types) -> int:
    weight, word = shape(inputs, 1), shape(inputs, 0)[-1:]
    if len(weight) != 4 or not word:
        return 0
    return 2 * elements(outputs, 0) * math.prod(weight[1:]) * max(word[0] - weight[2] + 1, 1)


CONTRIB: dict[str, Rule] = {
    **{
        op: per_output(count)
        for op, count in {
            "BiasAdd": 2, "BiasDropout": 1, "BiasGelu": 9, "BiasSoftmax": 6, "BiasSplitGelu": 11,
            "BitmaskBiasDropout": 1, "BitmaskDropout": 0, "BranchwiseRMSNorm": 5, "ComplexMul": 3, "ComplexMulConj": 3,
            "CropAndResize": 7, "DequantizeBFP": 2, "DequantizeLinear": 2, "DequantizeWithOrder": 2,
            "EmbedLayerNormalization": 10, "ExpandDims": 0, "GatedAdd": 3, "GatedRMSNorm": 10,
            "GatherBlockQuantized": 2, "GatherND": 0, "GatherPacked": 2, "Gelu": 8, "GemmaRotaryEmbedding": 3,
            "IsAllFinite": 1, "MRotaryEmbedding": 3, "MulInteger": 3, "MurmurHash3": 16, "NGramRepeatBlock": 1,
            "Pad": 0, "QEmbedLayerNormalization": 13, "QLinearAdd": 8, "QLinearConcat": 5, "QLinearLeakyRelu": 7,
            "QLinearMul": 8, "QLinearSigmoid": 9, "QLinearSoftmax": 10, "QLinearWhere": 8, "QOrderedGelu": 13,
            "QOrderedLayerNormalization": 13, "QuantizeBFP": 3, "QuantizeLinear": 3, "QuantizeWithOrder": 3,
            "QuickGelu": 6, "Range": 0, "RelativePositionBias": 4, "RemovePadding": 0, "RestorePadding": 0,
            "RotaryEmbedding": 3, "ScaledSiLU": 6, "SwiGLU": 6, "TorchEmbedding": 0, "Trilu": 0, "UnfoldTensor": 0,
        }.items()
    },
    "Attention": _projected(1, 4),
    "CDist": _distances,
    "CausalConvWithState": causal_convolution,
    "ConvTransposeWithDynamicPads": transposed_convolution,
    "DecoderAttention": _decoder_attention,
    "DecoderMaskedMultiHeadAttention": _multi_head(5),
    "DecoderMaskedSelfAttention": _projected(1, 4),
    "DynamicQuantizeLSTM": recurrence,
    "DynamicQuantizeMatMul": matrix_product,
    "FastGelu": _with_bias(8),
    "FusedConv": convolution(1),
    "FusedGemm": gemm,
    "FusedMatMul": _fused_product,
    "FusedMatMulActivation": _fused_product,
    "GatedDeltaNet": _gated_delta,
    "GatedRelativePositionBias": _relative_position,
    "GemmFastGelu": matrix_product,
    "GemmFloat8": gemm,
    "GridSample": grid_sample,
    "GroupNorm": _group_norm,
    "GroupQueryAttention": _grouped_query,
    "Inverse": _inverse,
    "Irfft": _real_fourier,
    "LinearAttention": linear_attention,
    "LongformerAttention": _longformer,
    "MatMulBlockQuantizedFp4Weight": matrix_product,
    "MatMulBlockQuantizedFp8Weight": matrix_product,
    "MatMulBnb4": _columns("N"),
    "MatMulFpQ4": matrix_product,
    "MatMulInteger16": matrix_product,
    "MatMulIntegerToFloat": matrix_product,
    "MatMulNBits": _columns("N"),
    "MatMulNBitsMlp": _gated_product,
    "MatMulNBitsQLoRA": _columns("N"),
    "MatMulNBitsQkv": _query_key_value,
    "MatMulPacked": _columns("N"),
    "MaxpoolWithMask": pooling,
    "MoE": _experts((2, 4, 6), packed=False),
    "MultiHeadAttention": _multi_head(6),
    "NhwcConv": convolution(1),
    "NhwcFusedConv": convolution(1),
    "NhwcMaxPool": pooling,
    "PackedAttention": _packed_attention,
    "PackedMultiHeadAttention": _packed_multi_head,
    "PagedAttention": _paged_attention,
    "QAttention": _projected(1, 8),
    "QGemm": gemm,
    "QLinearAveragePool": pooling,
    "QLinearConv": convolution(3),
    "QLinearGlobalAveragePool": per_input(1),
    "QLinearReduceMean": per_input(1),
    "QMoE": _experts((2, 5, 8), packed=True),
    "QOrderedAttention": _ordered_attention,
    "QOrderedMatMul": matrix_product,
    "ReduceSumInteger": per_input(1),
    "Rfft": _real_fourier,
    "SkipGroupNorm": _normalized(8),
    "SkipLayerNormalization": _normalized(8),
    "SkipSimplifiedLayerNormalization": _normalized(5),
    "SparseAttention": _sparse_attention,
    "SparseToDenseMatMul": _fused_product,
    "TransposeMatMul": _fused_product,
    "Unique": STANDARD["Unique"],
    "WordConvEmbedding": _word_convolution,
}  # fmt: skip
"""The rules of the operators of the domain com.microsoft."""

CONTRIB_MOVES = frozenset({"ExpandDims"})
"""Operators of com.microsoft that touch no data."""

CONTRIB_PARTIAL_READS = {
    "EmbedLayerNormalization": (2, 3, 4), "GatherBlockQuantized": (0, 2, 3), "GatherND": (0,), "GatherPacked": (0,),
    "QEmbedLayerNormalization": (2, 3, 4), "TorchEmbedding": (0,),
}  # fmt: skip
"""Of which inputs operators of com.microsoft read only what they write."""

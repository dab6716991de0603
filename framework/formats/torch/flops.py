"""Operations of torch's operators: torch's own counts where it has them, else formulas from the shapes.

A multiply-add is two operations. Matrix products, convolutions and attention are counted by
``torch.utils.flop_counter`` and so agree with its ``FlopCounterMode`` exactly. Data movement is free; an elementwise
operator costs a small number of operations per element, a reduction one per element that it reads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from framework.formats.torch.operators import operator_name

_PER_ELEMENT = {
    "addcdiv": 2,
    "addcmul": 2,
    "cos": 4,
    "elu": 4,
    "erf": 5,
    "exp": 4,
    "gelu": 8,
    "glu": 5,
    "hardsigmoid": 3,
    "hardswish": 4,
    "lerp": 3,
    "log": 4,
    "log1p": 4,
    "log_sigmoid_forward": 5,
    "mish": 8,
    "pow": 4,
    "rsqrt": 2,
    "sigmoid": 4,
    "silu": 5,
    "sin": 4,
    "softplus": 5,
    "sqrt": 2,
    "tanh": 5,
}

_MOVES = frozenset(
    [
        "_efficientzerotensor",
        "_to_copy",
        "_unsafe_masked_index",
        "_unsafe_view",
        "arange",
        "as_strided_copy",
        "bernoulli",
        "cat",
        "channel_shuffle",
        "clone",
        "constant_pad_nd",
        "copy",
        "embedding",
        "empty",
        "empty_like",
        "empty_strided",
        "expand_copy",
        "fill",
        "flip",
        "full",
        "full_like",
        "gather",
        "im2col",
        "index",
        "index_put",
        "index_select",
        "masked_fill",
        "masked_scatter",
        "masked_select",
        "new_empty",
        "new_empty_strided",
        "new_full",
        "new_ones",
        "new_zeros",
        "nonzero",
        "normal",
        "one_hot",
        "ones",
        "ones_like",
        "pixel_shuffle",
        "pixel_unshuffle",
        "rand",
        "rand_like",
        "randn",
        "randn_like",
        "reflection_pad1d",
        "reflection_pad2d",
        "reflection_pad3d",
        "repeat",
        "repeat_interleave",
        "replication_pad1d",
        "replication_pad2d",
        "replication_pad3d",
        "resize",
        "roll",
        "scatter",
        "select_backward",
        "select_scatter",
        "slice_scatter",
        "split_with_sizes_copy",
        "stack",
        "tril",
        "triu",
        "unfold_copy",
        "unsafe_split",
        "unsafe_split_with_sizes",
        "uniform",
        "unique_consecutive",
        "upsample_nearest1d",
        "upsample_nearest2d",
        "upsample_nearest3d",
        "view_as_complex",
        "where",
        "zero",
        "zeros",
        "zeros_like",
    ]
)

_PRODUCTS = frozenset(
    [
        "_grouped_mm",
        "_int_mm",
        "_scaled_grouped_mm",
        "_weight_int4pack_mm",
        "_weight_int4pack_mm_for_cpu",
        "_weight_int8pack_mm",
        "grouped_mm_fallback",  # of the package transformers, on CPUs
    ]
)
"""Matrix products that torch's own counts lack."""

_NORMS = ("native_layer_norm", "native_group_norm", "_fused_rms_norm", "rms_norm")


def operator_flops(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], out: Any, live: Sequence[torch.Tensor]
) -> int:
    """Return the floating point operations of one call of an operator.

    Parameters
    ----------
    func
        The operator's overload.
    args, kwargs, out
        What it was called with, and what it returned.
    live
        Those of its arguments that depend on an input of the model.
    """
    packet = func._overloadpacket
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=out))
    name = operator_name(func)
    if name in _MOVES:
        return 0
    outputs = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
    written = outputs[0].numel() if outputs else 0
    read = max((tensor.numel() for tensor in live), default=0)
    last = outputs[0].shape[-1] if outputs and outputs[0].dim() else 1
    special = _special(name, args, written, read, last)
    return special if special is not None else max(written, read) * _PER_ELEMENT.get(name, 1)


def _special(name: str, args: Sequence[Any], written: int, read: int, last: int) -> int | None:
    """Return the operations of operators that are neither moves nor elementwise; None for the others."""
    largest = max(written, read)
    if "softmax" in name:
        return 5 * written
    if "batch_norm" in name:
        return 2 * written
    if name in _PRODUCTS:
        # Groups of rows, or of what is summed over, share out the first matrix; groups of columns use it one by one.
        matrices = args[0].numel() if args[0].dim() == 2 or args[1].dim() == 3 else args[0][0].numel()
        return int(2 * matrices * last)
    if name in _NORMS:
        return 7 * largest
    if name.startswith("linalg_vector_norm") or name == "norm":
        return 3 * largest
    if "pool" in name:
        return written * _window(name, args) if "adaptive" not in name else largest
    if name.startswith("upsample"):
        return written * (32 if "bicubic" in name else 16 if "trilinear" in name else 8 if "bilinear" in name else 4)
    if name.startswith("grid_sampler"):
        return written * 11
    if name == "deform_conv2d":
        weight = args[1]
        return int(2 * written * math.prod(weight.shape[1:]))
    if "fft" in name:
        return int(5 * largest * math.log2(max(2, last)))
    if name in ("sort", "topk", "argsort"):
        return int(read * math.log2(max(2, args[0].shape[-1] if args[0].dim() else 1)))
    if name in ("mv", "dot", "vdot", "addmv", "_trilinear"):
        return 2 * read
    if name in ("_cdist_forward", "_euclidean_dist"):
        return int(3 * args[0].shape[-1] * written)
    return None


def _window(name: str, args: Sequence[Any]) -> int:
    """Return the number of elements that a pooling operator reads per output."""
    size = args[1] if len(args) > 1 else 1
    sizes = [size] if isinstance(size, int) else list(size)
    dimensions = 3 if "3d" in name else 2 if "2d" in name else 1
    return int(math.prod(sizes)) if len(sizes) == dimensions else int(sizes[0]) ** dimensions

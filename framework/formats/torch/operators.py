"""What torch's operators are, by name: random, gathering, filling, of a shape that depends on values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import torch

from framework.errors import UserError

RANDOM = frozenset(
    [
        "bernoulli",
        "exponential",
        "multinomial",
        "normal",
        "rand",
        "rand_like",
        "randint",
        "randint_like",
        "randn",
        "randn_like",
        "random",
        "randperm",
        "trunc_normal",
        "uniform",
        "geometric",
        "log_normal",
        "cauchy",
        "poisson",
        "binomial",
        "native_dropout",
    ]
)
"""Operators whose result is drawn at random."""

UNKNOWN = frozenset(["empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize", "linalg_qr"])
"""Operators whose result is not worth, or not safe, to carry along as a value."""

UNIFORM = frozenset(
    [
        "_efficientzerotensor",
        "empty",
        "empty_like",
        "empty_strided",
        "fill",
        "full",
        "full_like",
        "new_empty",
        "new_empty_strided",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones",
        "ones_like",
        "scalar_tensor",
        "zero",
        "zeros",
        "zeros_like",
    ]
)
"""Operators that fill their result with one value."""

SHAPED_LIKE = frozenset(
    {
        "empty_like",
        "full_like",
        "new_empty",
        "new_empty_strided",
        "new_full",
        "new_ones",
        "new_zeros",
        "ones_like",
        "zeros_like",
    }
)
"""Operators that take from their first argument its shape or type, but no value."""

GATHERS = frozenset(
    [
        "_embedding_bag",
        "_embedding_bag_forward_only",
        "embedding",
        "embedding_bag",
        "gather",
        "grid_sampler_2d",
        "grid_sampler_3d",
        "index",
        "index_select",
    ]
)
"""Operators that read of their first argument only about as much as they return."""

OVERWRITERS = frozenset({"copy", "fill", "zero"})
"""In-place operators that do not read what they overwrite."""

SEPARATING = frozenset({"unsafe_split", "unsafe_split_with_sizes", "unsafe_chunk"})
"""Operators whose results share a storage although their schema says that they do not."""

DATA_DEPENDENT = frozenset(
    [
        "_unique2",
        "index",
        "masked_select",
        "nms",
        "nonzero",
        "repeat_interleave",
        "unique_consecutive",
        "unique_dim",
        "bincount",
        "histc",
    ]
)
"""Operators whose result's shape may depend on values."""


def operator_name(func: Any) -> str:
    """Return an operator's name without overload; ``add_`` is called ``add``."""
    name = str(func._overloadpacket.__name__)
    return name.rstrip("_") or name


def filled_with(name: str, args: Any) -> Any:
    """Return the number that an operator of `SHAPED_LIKE` fills its result with, or None if it leaves it undefined."""
    if name.endswith(("zeros", "zeros_like")):
        return 0
    if name.endswith(("ones", "ones_like")):
        return 1
    if name == "full_like":
        return args[1]
    return args[2] if name == "new_full" else None


def written_arguments(func: Any, args: Any, kwargs: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors that an operator writes into, by its schema."""
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is None or not argument.alias_info.is_write:
            continue
        value = args[i] if i < len(args) else kwargs.get(argument.name)
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, torch.Tensor):
                yield item


def takes_device(func: Any) -> bool:
    """Return whether an operator makes a tensor on a device of its own choice."""
    return any(argument.name == "device" for argument in func._schema.arguments)


def run_on_meta(func: Any, name: str, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
    """Run an operator on meta tensors.

    Raises
    ------
    UserError
        If it has no kernel for them.
    """
    if name == "_grouped_mm" and args[0].dtype != torch.bfloat16:
        # The meta kernel knows one type only; the shape is the same for all.
        twins = [twin.to(torch.bfloat16) if twin.is_floating_point() else twin for twin in args[:2]]
        return func(*twins, *args[2:], **keywords).to(keywords.get("out_dtype") or args[0].dtype)
    try:
        return func(*args, **keywords)
    except NotImplementedError as error:
        raise UserError(
            f"the operator {func} does not run on the meta device",
            hint="register a fake implementation (torch.library.register_fake), or write it with other operators",
        ) from error


@cache
def is_composite(func: Any) -> bool:
    """Return whether an operator is made of others that run in its place."""
    kernel = torch._C.DispatchKey.CompositeImplicitAutograd
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), kernel))

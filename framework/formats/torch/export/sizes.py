"""Example inputs of other sizes, for programs whose dimensions are open.

An open dimension is called by the input and its number, ``tokens.1``, or by its symbol in the program, ``s77``; several
dimensions of one symbol are one. Values are those of the example inputs, repeated as often as it takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from framework.errors import UserError

_MOST_NAMED = 6


def resized(
    exported: Any, inputs: Sequence[fx.Node], arguments: Sequence[Any], dims: Mapping[str, int], where: str
) -> tuple[Any, ...]:
    """Return the example inputs at other sizes.

    Parameters
    ----------
    exported
        The program that the inputs are of.
    dims
        Sizes of open dimensions by their names.

    Raises
    ------
    UserError
        For a name that no open dimension has, or a size that the program does not allow.
    """
    if not dims:
        return tuple(arguments)
    opened = _open_dimensions(inputs)
    sizes = _known_sizes(inputs, arguments)
    given: dict[Any, int] = {}
    for name, size in dims.items():
        symbol = opened.get(name)
        if symbol is None:
            named = list(opened)[:_MOST_NAMED]
            hint = f"there are {', '.join(named)}" if named else "export it with dynamic_shapes"
            raise UserError(f"the program has no open dimension {name!r}", where=where, hint=hint)
        if given.setdefault(symbol, size) != size:
            raise UserError(f"{name!r} is the same dimension as another one of another size", where=where)
        allowed = exported.range_constraints.get(symbol)
        if size < 1 or (allowed is not None and not allowed.lower <= size <= allowed.upper):
            hint = "" if allowed is None else f"{allowed.lower} to {allowed.upper} are allowed"
            raise UserError(f"the size of {name!r} is {size}", where=where, hint=hint)
    sizes |= given
    return tuple(_resize(call, value, sizes) for call, value in zip(inputs, arguments, strict=True))


def _open_dimensions(inputs: Sequence[fx.Node]) -> dict[str, Any]:
    """Return the symbol of each open dimension by its names; sizes that follow from others have none."""
    opened: dict[str, Any] = {}
    symbols: dict[str, Any] = {}
    for call in inputs:
        for axis, size in enumerate(_shape(call)):
            if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                opened[f"{call.name}.{axis}"] = size.node.expr
                symbols[str(size.node.expr)] = size.node.expr
    return opened | symbols


def _known_sizes(inputs: Sequence[fx.Node], arguments: Sequence[Any]) -> dict[Any, int]:
    sizes: dict[Any, int] = {}
    for call, value in zip(inputs, arguments, strict=True):
        if isinstance(value, torch.Tensor):
            for size, found in zip(_shape(call), value.shape, strict=True):
                if isinstance(size, torch.SymInt) and size.node.expr.is_Symbol:
                    sizes[size.node.expr] = int(found)
    return sizes


def _resize(call: fx.Node, value: Any, sizes: Mapping[Any, int]) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    shape = [int(size.node.expr.subs(sizes)) if isinstance(size, torch.SymInt) else int(size) for size in _shape(call)]
    for axis, size in enumerate(shape):
        have = value.shape[axis]
        if size > have:
            value = value.repeat([-(-size // max(1, have)) if i == axis else 1 for i in range(value.dim())])
        value = value.narrow(axis, 0, size)
    return value.contiguous()


def _shape(call: fx.Node) -> Sequence[Any]:
    value = call.meta.get("val")
    return tuple(value.shape) if isinstance(value, torch.Tensor) else ()

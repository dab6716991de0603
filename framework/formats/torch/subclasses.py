"""Tensors that wrap others (quantised weights: integers and scales), and those that have no dense storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from framework.errors import UserError


def plain_tensors(name: str, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield a tensor, or the tensors that it wraps, with their names.

    Raises
    ------
    UserError
        If it has no dense storage.
    """
    if is_traceable_wrapper_subclass(tensor):
        for attribute in tensor.__tensor_flatten__()[0]:
            yield from plain_tensors(f"{name}.{attribute}", getattr(tensor, attribute))
    elif torch.nn.parameter.is_lazy(tensor):
        raise UserError(f"{name} has no shape yet", hint="run the module once, so that its lazy parameters are made")
    elif tensor.layout != torch.strided or tensor.is_nested:
        kind = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.")
        raise UserError(f"{name} is a tensor of layout {kind}, which is not followed", hint="make it dense (to_dense)")
    else:
        yield name, tensor


@contextmanager
def wrapped_on_meta(model: torch.nn.Module, lift: Any) -> Iterator[None]:
    """Give a module, for the time within, wrappers of meta tensors in place of wrappers of real ones.

    A wrapper computes with what it wraps and then says that it is on its own device, so both must be on the same.
    """
    twins: dict[int, torch.Tensor] = {}

    def twin(tensor: torch.Tensor) -> torch.Tensor:
        if not is_traceable_wrapper_subclass(tensor):
            return lift(tensor)
        attributes, context = tensor.__tensor_flatten__()
        within = {attribute: twin(getattr(tensor, attribute)) for attribute in attributes}
        return type(tensor).__tensor_unflatten__(within, context, tensor.size(), tensor.stride())

    replaced: list[tuple[dict[str, Any], str, Any]] = []
    for part in model.modules():
        for held in (part._parameters, part._buffers):
            for name, tensor in list(held.items()) if isinstance(held, dict) else []:
                if is_traceable_wrapper_subclass(tensor) and not tensor.is_meta:
                    if id(tensor) not in twins:
                        made = twin(tensor)
                        is_parameter = isinstance(tensor, torch.nn.Parameter)
                        twins[id(tensor)] = torch.nn.Parameter(made, requires_grad=False) if is_parameter else made
                    replaced.append((held, name, tensor))
                    held[name] = twins[id(tensor)]
    try:
        yield
    finally:
        for held, name, tensor in replaced:
            held[name] = tensor

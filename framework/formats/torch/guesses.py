"""Guesses where the shape or the path of a computation depends on values that only weights could tell.

Every guess is counted, so that a graph can say that it holds some. They assume what leads through the whole model:
masks select everything, and a loop that waits until all entries of a mask are true ends. A router is assumed to spread
its tokens evenly: of a mask of two or more dimensions, the share of entries that the caller names is true.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from framework.formats.torch.values import Values

_MASKS = (torch.bool, torch.uint8)


class Guesses:
    """Answers to questions about unknown values, and how often each kind was asked.

    Parameters
    ----------
    values
        What is known.
    routed_share
        Share of the entries of an unknown mask of two or more dimensions that is assumed to be true.
    """

    def __init__(self, values: Values, routed_share: float) -> None:
        self.count: Counter[str] = Counter()
        self._values = values
        self._share = routed_share

    def scalar(self, tensor: torch.Tensor, *, conjunction: bool) -> Any:
        """Return the value of a tensor with one element.

        Parameters
        ----------
        tensor
            If its value is unknown it counts as 1, a truth value as false, so that no special case is entered.
        conjunction
            Whether it says that all entries of another are true; then it counts as true.
        """
        known = self._values.known(tensor)
        if known is not None:
            return known.item()
        self.count["item"] += 1
        if tensor.dtype == torch.bool:
            return conjunction
        return 1.0 if tensor.dtype.is_floating_point else 1

    def is_known(self, tensor: torch.Tensor) -> bool:
        """Return whether the values of a tensor are known."""
        return self._values.known(tensor) is not None

    def equal(self, left: torch.Tensor, right: torch.Tensor) -> bool:
        """Return whether two tensors hold the same values; false where that is unknown."""
        a, b = self._values.known(left), self._values.known(right)
        if a is None or b is None:
            self.count["equal"] += 1
            return False
        return bool(torch.equal(a, b))

    def result(self, name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Return the meta result of an operator whose shape depends on values that are unknown.

        Returns ``NotImplemented`` if its shape does not depend on values after all.
        """
        tensor = args[0]
        if name == "index":
            return self._index(func, tensor, args[1])
        if name == "repeat_interleave":
            return self._repeat_interleave(func, args, kwargs)
        if name == "nonzero":
            return self._nonzero(tensor)
        self.count[name] += 1
        if name == "masked_select":
            return _meta(self.selected(args[1]), dtype=tensor.dtype)
        if name == "nms":
            return _meta(tensor.shape[0])
        if name in ("unique_consecutive", "_unique2", "unique_dim"):
            return (
                _meta(tensor.numel(), dtype=tensor.dtype),
                _meta(*tensor.shape),
                _meta(tensor.numel()),
            )
        return NotImplemented

    def selected(self, mask: torch.Tensor) -> int:
        """Return how many entries of a mask are true, by guess where it is unknown."""
        known = self._values.known(mask)
        if known is not None:
            return int(known.count_nonzero())
        self.count["mask"] += 1
        entries = int(mask.numel())
        return max(1, math.ceil(entries * self._share)) if mask.dim() >= 2 else entries

    def _nonzero(self, tensor: torch.Tensor) -> torch.Tensor:
        selected = self.selected(tensor)
        result = _meta(selected, tensor.dim())
        if selected == tensor.numel():
            # All are selected: then it is known which, and a loop over them can run.
            self._values.set_known(result, torch.ones(tensor.shape).nonzero())
        return result

    def _index(self, func: Any, tensor: torch.Tensor, indices: Sequence[torch.Tensor | None]) -> Any:
        if not any(index is not None and index.dtype in _MASKS for index in indices):
            return NotImplemented
        positions: list[torch.Tensor | None] = []
        for index in indices:
            if index is None or index.dtype not in _MASKS:
                positions.append(index)
            else:
                selected = self.selected(index)
                positions += [_meta(selected) for _ in range(index.dim())]
        return func(tensor, positions)

    def _repeat_interleave(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func._overloadname != "Tensor":
            return NotImplemented
        size = kwargs.get("output_size")
        if size is None:
            self.count["repeat_interleave"] += 1
            size = args[0].numel()
        return _meta(size)


def _meta(*shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")

"""Recurrent layers on the meta device, where torch's own code asks for real tensors.

``torch.lstm`` and its like check, before any operator is dispatched, that input and weights are on one device, and they
read the lengths of packed sequences from memory. Here the weights are given as their meta twins, and sequences are
packed and padded by the positions of their entries, which are known where the lengths are.

An initial state of constants that hold no parameters counts as fed: the first step then runs the same operators as all
others, so a layer has 2 * steps * batch * gates * H * (I + H) operations in matrix products in each direction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.utils._pytree import tree_map

from framework.formats.torch.guesses import Guesses
from framework.formats.torch.values import Values

LAYERS = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
"""Functions that run recurrent layers over a sequence."""

CELLS = frozenset({"lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"})
"""Functions that run one step of a recurrent layer."""


def run_recurrent(values: Values, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Run a recurrent layer or cell on meta twins of its arguments.

    Parameters
    ----------
    values
        What is known of tensors.
    func, args, kwargs
        A function of `LAYERS` or `CELLS`, and its arguments. A tensor of integers holds the batch sizes of packed
        sequences; it is given with its values.
    """

    def twin(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if not (leaf.is_floating_point() or leaf.is_complex()):
            numbers = _numbers(values, leaf)
            return leaf if numbers is None else _real(numbers)
        return values.lift(leaf)

    lifted, keywords = tree_map(twin, (list(args), dict(kwargs)))
    batch_sizes = args[1] if len(args) > 2 and isinstance(args[1], torch.Tensor) else None
    state = 2 if batch_sizes is not None and batch_sizes.dtype == torch.int64 else 1
    if len(lifted) > state:
        lifted[state] = tree_map(lambda leaf: _fed(values, leaf), lifted[state])
    return func(*lifted, **keywords)


def func_name(func: Any) -> str:
    """Return the name of a torch function or operator, without its overload."""
    return str(getattr(func, "__name__", "")).partition(".")[0]


def pack(guesses: Guesses, values: Values, data: Any, lengths: Any, batch_first: bool) -> tuple[Any, Any]:
    """Pack padded sequences: return their entries step by step, and how many sequences have each step.

    Lengths that are unknown are guessed to be the full one.
    """
    known = _numbers(values, lengths)
    sequences, steps = (data.shape[0], data.shape[1]) if batch_first else (data.shape[1], data.shape[0])
    if known is None:
        guesses.count["lengths"] += 1
    sizes = [steps] * sequences if known is None else known
    if len(sizes) != sequences:
        raise RuntimeError(f"{len(sizes)} lengths are given for {sequences} sequences")
    if min(sizes, default=0) <= 0 or max(sizes) > steps:
        raise RuntimeError(f"the lengths of packed sequences lie between 1 and {steps}, not {min(sizes, default=0)}")
    if sizes != sorted(sizes, reverse=True):
        raise RuntimeError("lengths must be sorted in decreasing order, or enforce_sorted be False")
    batch_sizes = [sum(size > t for size in sizes) for t in range(sizes[0])]
    positions = _positions(batch_sizes, steps, sequences, batch_first)
    return data.flatten(0, 1)[_real(positions)], _real(batch_sizes)


def pad(
    values: Values, data: Any, batch_sizes: Any, batch_first: bool, padding_value: float, total_length: int
) -> tuple[Any, Any]:
    """Pad packed sequences: return them in one tensor, and their lengths."""
    counts = _numbers(values, batch_sizes)
    if counts is None:
        raise RuntimeError("the batch sizes of packed sequences are unknown")
    steps, sequences = max(len(counts), total_length), counts[0]
    if 0 < total_length < len(counts):
        raise RuntimeError(f"total_length is {total_length}, but the longest sequence has {len(counts)} steps")
    positions = _positions(counts, steps, sequences, batch_first)
    shape = (sequences, steps) if batch_first else (steps, sequences)
    padded = data.new_full((sequences * steps, *data.shape[1:]), padding_value).index_put((_real(positions),), data)
    return padded.unflatten(0, shape), _real([sum(count > b for count in counts) for b in range(sequences)])


def _fed(values: Values, state: Any) -> Any:
    """Return a tensor in place of an initial state that depends on no input and no parameter."""
    if not isinstance(state, torch.Tensor):
        return state
    record = values.record(state)
    if record.live or record.parameters:
        return state
    twin = torch.empty_strided(state.shape, state.stride(), dtype=state.dtype, device="meta")
    values.record(twin).live = True
    return twin


def _positions(batch_sizes: Sequence[int], steps: int, sequences: int, batch_first: bool) -> list[int]:
    """Return where the entries of packed sequences, step by step, lie in the padded tensor."""
    entries = ((t, b) for t, count in enumerate(batch_sizes) for b in range(count))
    return [b * steps + t if batch_first else t * sequences + b for t, b in entries]


def _numbers(values: Values, tensor: torch.Tensor) -> list[int] | None:
    with torch.utils._python_dispatch._disable_current_modes():
        known = values.known(tensor)
        return None if known is None else [int(number) for number in known.tolist()]


def _real(numbers: list[int]) -> torch.Tensor:
    with torch.utils._python_dispatch._disable_current_modes():
        return torch.tensor(numbers, dtype=torch.int64, device="cpu")

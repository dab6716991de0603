"""Stand-ins for types in which a program takes or returns values, and which nobody here has defined.

A program of a module of transformers returns a `CausalLMOutput`, say. Its file names the type and what it holds, and
torch loads it only where the type is registered. Nodes, stages and results are those of the flat values, so any type
that holds them does as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from torch.utils import _pytree as pytree

_UNKNOWN = re.compile(r"Deserializing (\S+) in pytree is not registered")


class StandIn:
    """The values that one of the unknown type held, and what its file says of them (the names of fields, say)."""

    def __init__(self, values: Iterable[Any], context: Any) -> None:
        self.values = list(values)
        self.context = context


def register_unknown(said: str) -> bool:
    """Register a stand-in for the type that torch says is not registered; returns whether it said so of one.

    A package that registers the type itself later replaces it.
    """
    found = _UNKNOWN.search(said)
    if found is None or found[1] in pytree.SERIALIZED_TYPE_TO_PYTHON_TYPE:
        return False
    kind = type(found[1].rpartition(".")[2], (StandIn,), {})
    pytree.register_pytree_node(
        kind,
        lambda held: (held.values, held.context),
        lambda values, context: kind(values, context),
        serialized_type_name=found[1],
        flatten_with_keys_fn=lambda held: (
            [(pytree.SequenceKey(i), value) for i, value in enumerate(held.values)],
            held.context,
        ),
    )
    return True

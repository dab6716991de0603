"""What training takes beside an inference, as far as an exported program says: which calls have gradients.

A call has gradients if a parameter that is trained lies behind it (``requires_grad``) and it yields floating point
numbers. Nothing is said of a program in which no parameter is trained, as of one that was frozen for inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx
from torch.utils._pytree import tree_leaves

from framework.formats.torch.export.program import Program, operator_label
from framework.formats.training import is_product, operator_kind


class Trained:
    """The calls of a program that have gradients; falsy where no parameter is trained."""

    def __init__(self, program: Program) -> None:
        self._calls: set[fx.Node] = set()
        for call in program.module.graph.nodes:
            if call.op == "get_attr":
                held = program.stored(call)
                if isinstance(held, torch.nn.Parameter) and held.requires_grad:
                    self._calls.add(call)
            elif any(used in self._calls for used in call.all_input_nodes) and _is_real(call):
                self._calls.add(call)

    def __bool__(self) -> bool:
        return bool(self._calls)

    def __contains__(self, call: fx.Node) -> bool:
        return call in self._calls

    def operations(self, calls: Sequence[fx.Node], flops: int) -> int:
        """Return the operations of the gradients of a node, given its calls and the operations of these."""
        if calls[0] not in self._calls:
            return 0
        if not is_product(operator_kind(operator_label(calls[0]))):
            return flops
        # A bias, of one dimension, is no operand of the product.
        operands = [used for used in calls[0].all_input_nodes if used in self._calls and _dimensions(used) > 1]
        return flops * min(2, max(1, len(operands)))


def _is_real(call: fx.Node) -> bool:
    values = [leaf for leaf in tree_leaves(call.meta.get("val")) if isinstance(leaf, torch.Tensor)]
    return any(value.is_floating_point() or value.is_complex() for value in values)


def _dimensions(call: fx.Node) -> int:
    value: Any = call.meta.get("val")
    return value.dim() if isinstance(value, torch.Tensor) else 2

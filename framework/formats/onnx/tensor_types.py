"""Tensor types of ONNX: the size of an element, the name of its type, the size of a tensor."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache

import onnx


@dataclass(frozen=True, slots=True)
class TensorType:
    """A tensor of known shape.

    Attributes
    ----------
    bits
        Size of one element.
    shape
        Its dimensions.
    """

    bits: int
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes; elements below a byte are packed."""
        return -(-self.elements * self.bits // 8)


@cache
def element_bits(elem_type: int) -> int | None:
    """Return the size of an ONNX element type, None for strings and undefined; its name tells: FLOAT8E4M3FN has 8."""
    name = type_name(elem_type).upper()
    digits = re.match(r"[A-Z]+(\d+)", name)
    return 8 if name == "BOOL" else int(digits[1]) if digits else None


def type_name(elem_type: int) -> str:
    """Return the name of an element type, as numpy spells it."""
    try:
        name = str(onnx.TensorProto.DataType.Name(elem_type)).lower()
    except ValueError:
        return "undefined"
    return {"float": "float32", "double": "float64"}.get(name, name)

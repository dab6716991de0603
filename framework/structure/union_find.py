"""Union-find for kernels."""

from __future__ import annotations

from framework.model import arrays
from framework.structure.kernel import kernel

find_root = kernel(arrays.find_root)
"""`framework.model.arrays.find_root` of an array."""

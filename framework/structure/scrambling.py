"""The finaliser of splitmix64 for kernels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from framework.model import arrays
from framework.structure.kernel import kernel

scrambled: Callable[[np.uint64], np.uint64] = kernel(arrays.scrambled)
"""`framework.model.arrays.scrambled` of one word."""

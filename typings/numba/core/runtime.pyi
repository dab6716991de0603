"""The part of numba's runtime that `framework.structure.kernel_compiler` uses."""

from typing import Any

rtsys: Any

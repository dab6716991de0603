"""The part of scipy.optimize this project uses; scipy ships no types."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

class OptimizeResult:
    status: int
    x: NDArray[np.float64]
    fun: float

def linprog(
    c: ArrayLike,
    A_ub: ArrayLike | None = ...,
    b_ub: ArrayLike | None = ...,
    A_eq: ArrayLike | None = ...,
    b_eq: ArrayLike | None = ...,
    bounds: Any = ...,
    method: str = ...,
) -> OptimizeResult: ...

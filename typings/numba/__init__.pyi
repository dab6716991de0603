"""The part of numba this project uses; numba ships no types."""

from collections.abc import Callable
from typing import Any

__version__: str

def njit(
    *, cache: bool = ..., no_cfunc_wrapper: bool = ..., no_cpython_wrapper: bool = ...
) -> Callable[[Callable[..., Any]], Any]: ...

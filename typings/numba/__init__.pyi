"""The part of numba this project uses; numba ships no types."""

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

__version__: str

def njit(
    *, cache: bool = ..., inline: str = ..., nogil: bool = ..., boundscheck: bool | None = ...
) -> Callable[[F], F]: ...

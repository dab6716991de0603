"""Starts numba once, in the process from which all members fork, instead of once in each member."""

from __future__ import annotations

from framework.structure.kernel import kernel


def initialise_numba() -> None:
    """Load one trivial kernel, which makes numba set up its code generation and its runtime."""
    _identity(0)


@kernel
def _identity(value: int) -> int:
    return value

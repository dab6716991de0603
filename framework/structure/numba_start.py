"""Starts numba once, in the process from which all members fork, instead of once in each member."""

from __future__ import annotations

import sys

from framework.structure.kernel import kernel


def initialise_numba() -> None:
    """Load one trivial kernel, which makes numba set up its typing and code generation (about 0.3 s).

    On the way numba looks for BLAS in scipy, whose import would take as long again. No kernel here uses
    linear algebra, so scipy.linalg is hidden for that moment; whoever wants it afterwards can import it.
    """
    hidden = "scipy.linalg"
    if hidden in sys.modules:
        _identity(0)
        return
    sys.modules[hidden] = None  # type: ignore[assignment]
    try:
        _identity(0)
    finally:
        del sys.modules[hidden]


@kernel
def _identity(value: int) -> int:
    return value

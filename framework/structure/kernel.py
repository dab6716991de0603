"""The decorator of all kernels: functions that numba compiles when they are first called, and not before.

Decorating loads nothing, so modules with kernels are imported within milliseconds, and a process that calls none never
loads numba. `framework.structure.kernel_compiler` says what is compiled, and where it is kept.

On small instances a kernel takes less time in Python than its machine code takes to be loaded: within `interpreted`,
kernels run as the functions that they are. They compute the same, since their sums stay far below 2^63
(`framework.model.instance.MAX_TOTAL`), where integers of numpy and of numba are alike.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

F = TypeVar("F", bound=Callable[..., Any])

_interpreting = False


def kernel(function: F) -> F:
    """Compile a function when it is first called, for Python and for other kernels apart; it makes no arrays.

    Such a function counts no references to arrays, which is a good part of the code of one that does.
    """
    return cast(F, Kernel(function, counts_references=False))


def allocating_kernel(function: F) -> F:
    """Compile a function that makes arrays, and may return them."""
    return cast(F, Kernel(function, counts_references=True))


def inlined_kernel(function: F) -> F:
    """Compile a small part of a hot kernel, which becomes part of its code: that has the speed of one long function."""
    return cast(F, Kernel(function, counts_references=False, forceinline=True))


class Kernel:
    """A function, and what numba makes of it once it is needed.

    Attributes
    ----------
    function
        As it was written.
    """

    def __init__(self, function: Callable[..., Any], *, counts_references: bool, forceinline: bool = False) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self._counts_references, self._forceinline = counts_references, forceinline
        self._called: Callable[..., Any] | None = None
        self._inner: Any = None

    def __call__(self, *args: Any) -> Any:
        """Run the machine code, or the function within `interpreted`."""
        if _interpreting:
            return self.function(*args)
        if self._called is None:
            from framework.structure.kernel_compiler import compiled_for_python

            self._called = compiled_for_python(self.function, counts_references=self._counts_references)
        return self._called(*args)

    @property
    def inner(self) -> Any:
        """What other kernels call, a dispatcher of numba."""
        if self._inner is None:
            from framework.structure.kernel_compiler import compiled_for_kernels

            self._inner = compiled_for_kernels(
                self.function, counts_references=self._counts_references, forceinline=self._forceinline
            )
        return self._inner

    @property
    def _numba_type_(self) -> Any:
        """The type that numba sees where another kernel names this one."""
        from numba.core import types

        return types.Dispatcher(self.inner)


@contextmanager
def interpreted() -> Iterator[None]:
    """Run kernels in Python meanwhile, for small instances."""
    global _interpreting
    before, _interpreting = _interpreting, True
    try:
        yield
    finally:
        _interpreting = before

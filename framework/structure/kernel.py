"""The decorator of all kernels: what numba compiles, how little of it, and where it is kept.

Numba makes machine code once for each signature, and every compiled function takes the code of those it calls in once
more. So what is compiled decides how long the first run takes:

* A kernel that another kernel calls is compiled without the wrapper that unpacks Python objects. For a kernel with
  records of arrays as arguments the wrapper is larger than the kernel itself.
* Of such a kernel only the code for linking is kept: machine code is made of the kernels that Python calls.
* Most kernels make no arrays, so they count no references to them. Numba says so where one does (``NRT required``):
  that one is an `allocating_kernel`.
* Numba takes a constant argument for a type of its own. ``f(x, 0)``, ``f(x, 1)`` and ``f(x, n)`` would be three
  versions of `f`; here they are one.

The files are those of `framework.kernel_cache`. One that cannot be read or written costs time, and nothing else.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import llvmlite.binding as llvm
from numba import njit
from numba.core import types
from numba.core.caching import (
    CompileResultCacheImpl,
    FunctionCache,
    NullCache,
    UserProvidedCacheLocator,
    _CacheLocator,
)
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler
from numba.core.dispatcher import Dispatcher

from framework.kernel_cache import kernel_directory, kernel_state

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile a function when it is first called, for Python and for other kernels apart; it makes no arrays.

    Such a function counts no references to arrays, which is a good part of the code of one that does.
    """
    return _kernel(function, counts_references=False)


def allocating_kernel(function: F) -> F:
    """Compile a function that makes arrays, and may return them."""
    return _kernel(function, counts_references=True)


def inlined_kernel(function: F) -> F:
    """Compile a small part of a hot kernel, which becomes part of its code: that has the speed of one long function."""
    return _kernel(function, counts_references=False, forceinline=True)


def _kernel(function: F, *, counts_references: bool, forceinline: bool = False) -> F:
    options: dict[str, Any] = {"cache": False, "no_cfunc_wrapper": True, "_nrt": counts_references}
    called = njit(**options)(function)
    if not isinstance(called, Dispatcher):
        # NUMBA_DISABLE_JIT: functions stay what they are.
        return function
    options |= {"no_cpython_wrapper": True, "pipeline_class": _LinkedCompiler, "forceinline": forceinline}
    inner = njit(**options)(function)
    called._cache = _cache_of(function, _KernelCache)
    inner._cache = _cache_of(function, _InnerKernelCache)

    def call_template(args: Any, kws: Any) -> Any:
        return inner.get_call_template(
            tuple(types.unliteral(one) for one in args), {name: types.unliteral(one) for name, one in kws.items()}
        )

    # What another kernel asks for when it is compiled; calls from Python come in by another way.
    called.get_call_template = call_template
    called.get_overload = inner.get_overload
    return cast(F, called)


class _LinkedLibrary(JITCodeLibrary):
    """Code that only other kernels take over: kept as bitcode, hardly optimised, never made into machine code.

    In the place of the machine code is a module with nothing but the memory of environments, which numba asks for.
    """

    def _optimize_final_module(self) -> None:
        """Simplify, and leave the rest to who takes the code over."""
        manager, builder = self._codegen._module_pass_manager(
            loop_vectorize=False, slp_vectorize=False, opt=1, cost="cheap"
        )
        manager.run(self._final_module, builder)

    def _finalize_final_module(self) -> None:
        linked = self._final_module
        for function in linked.functions:
            if not function.is_declaration and function.linkage == llvm.Linkage.external:
                function.linkage = "linkonce_odr"
        self._shared_module = linked
        environments = [str(one) for one in linked.global_variables if one.linkage == llvm.Linkage.common]
        bare = "\n".join([str(self._codegen._create_empty_module(self.name)), *environments])
        self._final_module = llvm.parse_assembly(bare)
        super()._finalize_final_module()


class _LinkedCompiler(Compiler):
    """Compiles into a `_LinkedLibrary`."""

    def define_pipelines(self) -> Any:
        state = self.state
        if state.library is None:
            state.library = _LinkedLibrary(state.targetctx.codegen(), state.func_id.func_qualname)
            state.library.enable_object_caching()
        return super().define_pipelines()


class _Place(_CacheLocator):
    """A folder for each state of the sources that kernels are made of, whatever the path of the installation."""

    def __init__(self, function: Any, folder: Path) -> None:
        self._py_file = function.__code__.co_filename
        self._line = function.__code__.co_firstlineno
        self._folder = folder

    def get_cache_path(self) -> str:
        return str(self._folder)

    def get_source_stamp(self) -> str:
        return kernel_state()

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, function: Any, path: str) -> _Place | None:
        folder = kernel_directory()
        return None if folder is None else cls(function, folder)


class _KernelFiles(CompileResultCacheImpl):
    # Where the user has chosen a folder (NUMBA_CACHE_DIR) there is no place of ours, and numba's own rules hold.
    _locator_classes = (_Place, UserProvidedCacheLocator)
    _prefix = "kernel"

    def get_filename_base(self, fullname: str, abiflags: str) -> str:
        return f"{self._prefix}-{super().get_filename_base(fullname, abiflags)}"


class _InnerKernelFiles(_KernelFiles):
    _prefix = "inner"


class _KernelCache(FunctionCache):
    """Numba's cache of a function's compiled versions, which may fail."""

    _impl_class = _KernelFiles

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:
            # Damaged, cut short, or of another program: compile again.
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        # Where nothing can be written, or the disk is full, the version in memory has to do.
        with contextlib.suppress(OSError):
            try:
                super().save_overload(sig, data)
            except (pickle.UnpicklingError, EOFError, ValueError, TypeError):
                # A damaged index: begin a new one.
                self.flush()
                super().save_overload(sig, data)


class _InnerKernelCache(_KernelCache):
    _impl_class = _InnerKernelFiles


def _cache_of(function: Any, files: type[_KernelCache]) -> Any:
    """Return where compiled versions are kept: nowhere, if no folder can be had."""
    try:
        return files(function)
    except RuntimeError:
        return NullCache()

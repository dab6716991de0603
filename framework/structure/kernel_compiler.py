"""What numba compiles of a kernel, how little of it, and where it is kept.

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

Most processes find all kernels there. To load one takes no more of numba than the machine code itself needs: the types
of arrays, and the runtime that counts references. Its tables of everything that it could compile are filled when
something is missing, which takes three times as long as all else.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

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
from numba.core.runtime import rtsys

from framework.kernel_cache import kernel_directory, kernel_state

_SCIPY = "scipy.linalg"


def compiled_for_python(function: Callable[..., Any], *, counts_references: bool) -> Callable[..., Any]:
    """Return what Python calls for a kernel: a dispatcher of numba, or the function itself where numba is disabled."""
    options: dict[str, Any] = {"cache": False, "no_cfunc_wrapper": True, "_nrt": counts_references}
    called = njit(**options)(function)
    if isinstance(called, Dispatcher):
        called._cache = _cache_of(function, _KernelCache)
    return cast(Callable[..., Any], called)


def compiled_for_kernels(function: Callable[..., Any], *, counts_references: bool, forceinline: bool) -> Any:
    """Return the dispatcher of what other kernels take over of a kernel, in one version whatever is constant there."""
    options: dict[str, Any] = {
        "cache": False,
        "no_cfunc_wrapper": True,
        "no_cpython_wrapper": True,
        "pipeline_class": _LinkedCompiler,
        "forceinline": forceinline,
        "_nrt": counts_references,
    }
    inner: Any = njit(**options)(function)
    inner._cache = _cache_of(function, _InnerKernelCache)
    template_of = inner.get_call_template

    def call_template(args: Any, kws: Any) -> Any:
        return template_of(
            tuple(types.unliteral(one) for one in args), {name: types.unliteral(one) for name, one in kws.items()}
        )

    inner.get_call_template = call_template
    return inner


def prepare_to_compile(target_context: Any) -> None:
    """Fill numba's tables of what it can compile; once more does nothing.

    On the way numba looks for BLAS in scipy, whose import would take as long again. No kernel here uses linear algebra,
    so scipy.linalg is hidden for that moment; whoever wants it afterwards can import it.
    """
    if _SCIPY in sys.modules:
        target_context.refresh()
        return
    sys.modules[_SCIPY] = None  # type: ignore[assignment]
    try:
        target_context.refresh()
    finally:
        del sys.modules[_SCIPY]


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
        # What machine code calls must be known before it is linked; numba fills all its tables here instead.
        rtsys.initialize(target_context)
        found = None
        # Damaged, cut short, or of another program: compile again.
        with contextlib.suppress(Exception), self._guard_against_spurious_io_errors():
            found = self._load_overload(sig, target_context)
        if found is None:
            prepare_to_compile(target_context)
        return found

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

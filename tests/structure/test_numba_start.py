"""Numba's start-up leaves no trace but numba itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

from framework.structure.kernel_compiler import prepare_to_compile
from framework.structure.numba_start import initialise_numba


class Context:
    """Stands for what numba compiles for."""

    def __init__(self, *, fails: bool = False) -> None:
        self.seen: list[object] = []
        self.fails = fails

    def refresh(self) -> None:
        self.seen.append(sys.modules.get("scipy.linalg", "absent"))
        if self.fails:
            raise RuntimeError("no compiler")


@pytest.mark.parametrize("loaded", [False, True])
def test_scipy_is_hidden_only_for_the_moment(loaded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "scipy.linalg", raising=False)
    if loaded:
        monkeypatch.setitem(sys.modules, "scipy.linalg", sys)
    context = Context()
    prepare_to_compile(context)
    assert context.seen == [sys if loaded else None]
    assert ("scipy.linalg" in sys.modules) == loaded


def test_scipy_is_shown_again_when_numba_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "scipy.linalg", raising=False)
    with pytest.raises(RuntimeError):
        prepare_to_compile(Context(fails=True))
    assert "scipy.linalg" not in sys.modules


def test_modules_with_kernels_are_imported_without_numba() -> None:
    initialise_numba()
    code = (
        "import importlib, pkgutil, sys\n"
        "import framework.structure\n"
        "for module in pkgutil.walk_packages(framework.structure.__path__, 'framework.structure.'):\n"
        "    if not module.name.endswith('.kernel_compiler'):\n"
        "        importlib.import_module(module.name)\n"
        "assert 'numba' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

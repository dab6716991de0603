"""Numba's start-up leaves no trace but numba itself."""

from __future__ import annotations

import sys

import pytest

from framework.structure import numba_start
from framework.structure.numba_start import initialise_numba


@pytest.mark.parametrize("loaded", [False, True])
def test_scipy_is_hidden_only_for_the_moment(loaded: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "scipy.linalg", raising=False)
    if loaded:
        monkeypatch.setitem(sys.modules, "scipy.linalg", sys)
    seen = []
    monkeypatch.setattr(numba_start, "_identity", lambda value: seen.append(sys.modules.get("scipy.linalg", "absent")))
    initialise_numba()
    assert seen == [sys if loaded else None]
    assert ("scipy.linalg" in sys.modules) == loaded


def test_scipy_is_shown_again_when_numba_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(value: int) -> int:
        raise RuntimeError("no compiler")

    monkeypatch.delitem(sys.modules, "scipy.linalg", raising=False)
    monkeypatch.setattr(numba_start, "_identity", fail)
    with pytest.raises(RuntimeError):
        initialise_numba()
    assert "scipy.linalg" not in sys.modules

"""Compiled kernels are kept apart for each state of the sources."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from framework.kernel_cache import VARIABLE, use_own_cache


def test_every_state_of_the_sources_has_its_own_directory(tmp_path: Path) -> None:
    (tmp_path / "kernels.py").write_text("A = 1\n")
    environment: dict[str, str] = {}
    first = use_own_cache(environment, tmp_path)
    assert first is not None
    assert environment[VARIABLE] == str(first)
    assert use_own_cache(environment, tmp_path) == first
    (tmp_path / "constants.py").write_text("B = 2\n")
    second = use_own_cache(environment, tmp_path)
    assert second is not None
    assert second.is_dir()
    assert second != first
    assert not first.exists()


def test_a_directory_that_the_user_chose_is_kept(tmp_path: Path) -> None:
    environment = {VARIABLE: str(tmp_path)}
    assert use_own_cache(environment, tmp_path) is None
    assert environment == {VARIABLE: str(tmp_path)}


def test_numba_is_pointed_at_it_before_any_kernel_is_compiled() -> None:
    code = "import framework.structure, numba; print(numba.config.CACHE_DIR)"
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    answer = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert Path(answer.stdout.strip()).name.startswith("kernels-")

"""Compiled kernels are kept apart for each state of the sources, wherever the installation and the user's home are."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from framework import kernel_cache
from framework.kernel_cache import NUMBA_VARIABLE, PREFIX, SOURCES, VARIABLE
from tests.conftest import REPOSITORY

CACHED = (kernel_cache.kernel_state, kernel_cache.kernel_directory)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Let the folder be chosen again, with nothing set."""
    for name in (VARIABLE, NUMBA_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(kernel_cache, "package_place", lambda: tmp_path / "package")
    for one in CACHED:
        one.cache_clear()
    yield
    for one in CACHED:
        one.cache_clear()


def small_package(folder: Path) -> Path:
    (folder / "structure").mkdir(parents=True)
    (folder / "model").mkdir()
    (folder / "structure" / "kernels.py").write_text("A = 1\n")
    (folder / "model" / "constants.py").write_text("B = 2\n")
    return folder


def test_the_state_follows_content_of_every_source_and_no_path(tmp_path: Path) -> None:
    first, second = small_package(tmp_path / "a"), small_package(tmp_path / "b")
    os.utime(second / "model" / "constants.py", (0, 0))
    assert kernel_cache.state_of(first) == kernel_cache.state_of(second)
    # The same length at the same time: only the content tells.
    times = (second / "model" / "constants.py").stat()
    (second / "model" / "constants.py").write_text("B = 3\n")
    os.utime(second / "model" / "constants.py", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert kernel_cache.state_of(first) != kernel_cache.state_of(second)


def test_the_state_follows_what_numba_compiles_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = small_package(tmp_path)
    before = kernel_cache.state_of(package)
    monkeypatch.setenv("NUMBA_CPU_NAME", "generic")
    assert kernel_cache.state_of(package) != before


def test_kernels_reach_nothing_beyond_the_sources_of_the_state() -> None:
    covered = tuple(f"framework.{name.removesuffix('.py')}" for name in SOURCES)
    for package in ("framework", "formulations", "strategies"):
        for path in (REPOSITORY / package).rglob("*.py"):
            module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
            kernels = any(alias.name in ("kernel", "njit") for node in imports for alias in node.names)
            # The checker of proofs compiles its loops by itself, and keeps nothing.
            if not kernels or module.startswith("framework.proof."):
                continue
            assert module.startswith("framework.structure."), f"{module} has kernels"
            for node in imports:
                assert node.module is not None
                inside = node.module.partition(".")[0] != "framework" or node.module == "framework"
                assert inside or node.module.startswith(covered), f"{module} reaches {node.module}"


def test_the_checker_of_proofs_keeps_no_compiled_code() -> None:
    compiling: dict[str, list[ast.Call]] = {}
    for path in sorted((REPOSITORY / "framework" / "proof").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("jit"):
                compiling.setdefault(path.name, []).append(node)
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert "kernel_cache" not in ast.unparse(node), f"{path} imports the cache of the solver"
    # Everything that is compiled goes through one place.
    assert list(compiling) == ["walk.py"]
    for call in compiling["walk.py"]:
        assert not any(keyword.arg == "cache" for keyword in call.keywords)


def test_it_lies_in_the_cache_folder_of_the_user(tmp_path: Path) -> None:
    directory = kernel_cache.kernel_directory()
    assert directory == tmp_path / "home" / "pipebound" / f"{PREFIX}{kernel_cache.kernel_state()}"
    assert directory.is_dir()
    assert kernel_cache.can_write()


def test_what_the_user_sets_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "chosen"))
    directory = kernel_cache.kernel_directory()
    assert directory is not None
    assert directory.parent == tmp_path / "chosen"


def test_a_folder_that_the_user_chose_for_numba_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(NUMBA_VARIABLE, str(tmp_path / "numba"))
    assert kernel_cache.kernel_directory() is None
    assert kernel_cache.can_write()
    kernel_cache.note_compiled("simple")
    assert kernel_cache.is_compiled("simple")
    assert os.environ[NUMBA_VARIABLE] == str(tmp_path / "numba")


def test_a_complete_one_beside_the_package_is_used_as_it_is(tmp_path: Path) -> None:
    beside = tmp_path / "package" / f"{PREFIX}{kernel_cache.kernel_state()}"
    beside.mkdir(parents=True)
    assert kernel_cache.kernel_directory() != beside
    kernel_cache.kernel_directory.cache_clear()
    (beside / "complete").touch()
    assert kernel_cache.kernel_directory() == beside


@pytest.mark.parametrize("home", ["", "/proc/nobody"])
def test_without_a_home_it_lies_with_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", home)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    directory = kernel_cache.kernel_directory()
    assert directory is not None
    assert directory.parent == tmp_path / f"pipebound-{os.getuid()}"


def test_where_nothing_can_be_written_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nobody")
    monkeypatch.setattr("tempfile.tempdir", "/proc/nobody")
    assert kernel_cache.kernel_directory() is None
    assert not kernel_cache.can_write()
    assert not kernel_cache.is_compiled("simple")


def test_a_folder_that_others_can_write_to_is_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_to_all = tmp_path / "home" / "pipebound" / f"{PREFIX}{kernel_cache.kernel_state()}"
    open_to_all.mkdir(parents=True)
    open_to_all.chmod(0o777)
    assert kernel_cache.kernel_directory() != open_to_all


def other_state(parent: Path, *, package: Path | None, age: float = 0.0) -> Path:
    other = parent / f"{PREFIX}other"
    (other / "users").mkdir(parents=True)
    if package is not None:
        mark = kernel_cache._mark(other) if package == kernel_cache.PACKAGE else other / "users" / "another"
        mark.write_text(str(package))
        then = time.time() - age
        os.utime(mark, (then, then))
    return other


def test_the_earlier_state_of_this_installation_is_removed(tmp_path: Path) -> None:
    other = other_state(tmp_path / "home" / "pipebound", package=kernel_cache.PACKAGE)
    kernel_cache.kernel_directory()
    assert not other.exists()


def test_the_state_of_another_installation_stays(tmp_path: Path) -> None:
    other = other_state(tmp_path / "home" / "pipebound", package=tmp_path)
    kernel_cache.kernel_directory()
    assert other.exists()


@pytest.mark.parametrize("gone", [True, False])
def test_the_state_of_an_installation_that_is_gone_or_old_is_removed(tmp_path: Path, gone: bool) -> None:
    package = tmp_path / "gone" if gone else tmp_path
    other = other_state(tmp_path / "home" / "pipebound", package=package, age=0 if gone else 1e7)
    kernel_cache.kernel_directory()
    assert not other.exists()


def test_a_state_in_use_stays(tmp_path: Path) -> None:
    other = other_state(tmp_path / "home" / "pipebound", package=kernel_cache.PACKAGE)
    code = (
        "import fcntl, os, sys\n"
        f"fcntl.flock(os.open({str(other / 'lock')!r}, os.O_RDONLY | os.O_CREAT), fcntl.LOCK_SH)\n"
        "print('held', flush=True)\nsys.stdin.read()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        kernel_cache.kernel_directory()
        assert other.exists()
        holder.communicate()


def test_only_one_process_compiles_at_a_time() -> None:
    held = kernel_cache.hold_compiler_lock()
    assert held is not None
    assert kernel_cache.hold_compiler_lock() is None
    os.close(held)
    again = kernel_cache.hold_compiler_lock()
    assert again is not None
    os.close(again)


CODE = """
import numpy as np
from numba.core import event
with event.install_recorder("numba:compile") as recorder:
    from framework.structure.scrambling import scrambled
    from framework.structure.primal.annealing import _below, _next
    state = np.ones(1, np.uint64)
    print(_below(state, 5))
print(len(recorder.buffer))
"""


def run(environment: dict[str, str], folder: Path) -> list[str]:
    plain = {name: value for name, value in os.environ.items() if name not in (VARIABLE, NUMBA_VARIABLE)}
    done = subprocess.run(
        [sys.executable, "-c", CODE], env={**plain, **environment}, capture_output=True, text=True, check=True
    )
    assert not done.stderr
    return done.stdout.split()


def test_kernels_are_found_again_also_where_nothing_can_be_written_or_read(tmp_path: Path) -> None:
    kept = {VARIABLE: str(tmp_path / "kept")}
    value, compiled = run(kept, tmp_path)
    assert int(compiled) > 0
    assert run(kept, tmp_path) == [value, "0"]
    nowhere = {"XDG_CACHE_HOME": "/proc/nobody", "TMPDIR": "/proc/nobody", "HOME": "/proc/nobody"}
    assert run({VARIABLE: "/proc/nobody"} | nowhere, tmp_path) == [value, compiled]
    for path in (tmp_path / "kept").rglob("*.nb[ci]"):
        path.write_bytes(path.read_bytes()[:20])
    assert run(kept, tmp_path) == [value, compiled]

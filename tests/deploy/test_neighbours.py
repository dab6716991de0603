"""Busy neighbours: they run meanwhile, end with the context, and say when they cannot start."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from framework.deploy.neighbours import busy_neighbours
from framework.errors import UserError

pytestmark = pytest.mark.slow
PATIENCE = 60.0


def counting(folder: Path) -> Callable[[], object]:
    """Return what adds a byte to the file of its process."""

    def run() -> None:
        with (folder / str(os.getpid())).open("ab") as file:
            file.write(b".")

    return run


def broken() -> Callable[[], object]:
    raise RuntimeError("no model")


def test_neighbours_run_until_the_end(tmp_path: Path) -> None:
    before = os.sched_getaffinity(0)
    count = len(before)
    # One more than there are cores for: they share them.
    with busy_neighbours(count, partial(counting, tmp_path), "a model", share_cores=True):
        files = list(tmp_path.iterdir())
        assert len(files) == count
        sizes = [file.stat().st_size for file in files]
        until = time.monotonic() + PATIENCE
        while any(file.stat().st_size <= size for file, size in zip(files, sizes, strict=True)):
            assert time.monotonic() < until, "a neighbour stands still"
            time.sleep(0.01)
    sizes = [file.stat().st_size for file in files]
    assert os.sched_getaffinity(0) == before
    assert not any(Path(f"/proc/{file.name}").exists() for file in files)
    assert [file.stat().st_size for file in files] == sizes


def test_neighbours_that_cannot_be_are_refused() -> None:
    with (
        pytest.raises(UserError, match="a model: a neighbour does not start"),
        busy_neighbours(1, broken, "a model", share_cores=True),
    ):
        pass
    with pytest.raises(UserError, match=r"need 10000 cores"), busy_neighbours(9999, broken, "a model"):
        pass

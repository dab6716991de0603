"""A small priced graph on disk, and a way to run the command as a user does."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from framework import cli

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def graph_file(tmp_path: Path) -> Path:
    """Twelve nodes in two braided chains, with integer prices in milliseconds."""
    nodes = [{"name": f"v{v}", "op": "x", "work": 5 + (v * 7) % 11, "parameter_cost": v % 3} for v in range(12)]
    tensors = [
        {"producer": v, "cost": 1 + v % 4, "consumers": [u for u in (v + 1, v + 2) if u < 12]} for v in range(11)
    ]
    document = {
        "format": "pipebound-graph",
        "version": 1,
        "name": "braid",
        "cost_unit": "ms",
        "nodes": nodes,
        "tensors": tensors,
    }
    path = tmp_path / "braid.graph.json"
    path.write_text(json.dumps(document))
    return path


@pytest.fixture
def pipebound(tmp_path: Path) -> Run:
    """Run ``pipebound`` in an empty folder, in the process of the test: a second less than in one of its own."""

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = ["pipebound", *map(str, arguments)]
        output, errors = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
        with pytest.MonkeyPatch.context() as patch, _kept_standard_output():
            patch.setattr(sys, "argv", command)
            patch.setattr(sys, "stdout", output)
            patch.setattr(sys, "stderr", errors)
            patch.delenv("COLUMNS", raising=False)
            patch.chdir(tmp_path)
            code = cli.run()
        texts = [stream.buffer.getvalue().decode() for stream in (output, errors)]
        return subprocess.CompletedProcess(command, code, *texts)

    return run


@contextmanager
def _kept_standard_output() -> Iterator[None]:
    """Put the descriptor back that a command replaces when it cannot write."""
    kept = os.dup(1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@pytest.fixture
def pipebound_process(tmp_path: Path) -> Run:
    """Run ``pipebound`` in a process of its own, in an empty folder: for plugins, which stay, and for what ends it."""

    def run(*arguments: str | Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "framework", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            # In a pipe lines are as long as they are, unless this says otherwise.
            env={name: value for name, value in os.environ.items() if name != "COLUMNS"},
            timeout=timeout,
            check=False,
        )

    return run

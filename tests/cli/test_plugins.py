"""Plugins that fail to import: one line that names file, line and error; the others still work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

FAULTS = {
    "import": ("x = 1\nimport not_there_at_all\n", 2, "ModuleNotFoundError: No module named 'not_there_at_all'"),
    "syntax": ("x = 1\ny = (\n", 2, "SyntaxError: '(' was never closed"),
    "exit": ("raise SystemExit(3)\n", 1, "SystemExit: 3"),
    "lines": ("raise ValueError('[/x]\\nof two lines')\n", 1, "ValueError: [/x] of two lines"),
    "empty": ("def f():\n    assert False\nf()\n", 2, "AssertionError"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_plugin_file_that_fails_is_one_line(pipebound: Run, tmp_path: Path, fault: str) -> None:
    text, line, words = FAULTS[fault]
    (tmp_path / "mine.py").write_text(text)
    done = pipebound("list", "formulations", "--plugin", "mine.py")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"pipebound: {tmp_path / 'mine.py'}:{line}: the plugin failed to load: {words}\n"


@pytest.mark.parametrize(
    "command",
    [
        ("solve", "braid.graph.json", "-k", "2"),
        ("compare", "braid.graph.json", "simple", "-k", "2"),
        ("recommend", "braid.graph.json"),
        ("check", "simple"),
        ("list",),
    ],
)
def test_every_command_names_the_file(
    pipebound: Run, graph_file: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    (tmp_path / "mine.py").write_text("1 / 0\n")
    done = pipebound(*command, "--plugin", "mine.py")
    assert done.returncode == 2
    assert done.stderr == (
        f"pipebound: {tmp_path / 'mine.py'}:1: the plugin failed to load: ZeroDivisionError: division by zero\n"
    )


def test_a_package_that_fails_is_named_and_the_others_work(
    pipebound_process: Run, graph_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    info = site / "other_bounds-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other-bounds\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pipebound.plugins]\nother = other_bounds\nabsent = nowhere_at_all\n")
    (site / "other_bounds.py").write_text("\nimport numpy.not_there\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", f"{site}:{Path(__file__).resolve().parents[2]}")
    for command in (("list", "formulations", "--json"), ("solve", graph_file, "-k", "1", "--with", "simple", "--json")):
        done = pipebound_process(*command)
        assert done.returncode == 0, done.stderr
        json.loads(done.stdout)
        place = f"{site / 'other_bounds.py'}:2"
        other, absent = sorted(done.stderr.splitlines(), reverse=True)
        assert other == (
            "pipebound: warning: the plugin 'other' of the package other-bounds failed to load: "
            f"ModuleNotFoundError: No module named 'numpy.not_there' ({place})"
        )
        assert absent == (
            "pipebound: warning: the plugin 'absent' of the package other-bounds failed to load: "
            "ModuleNotFoundError: No module named 'nowhere_at_all'"
        )

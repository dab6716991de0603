"""The page on PyTorch is run as it stands, from top to bottom; skipped where torch is not installed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run
from tests.cli.conftest import pipebound_process as pipebound_process
from tests.conftest import REPOSITORY

BLOCK = r"^```python\n(.*?)^```$"
TRANSCRIPT = r"^    \$ pipebound ([^\n]*)\n\n((?:    [^\n]*\n|\n)*)"
PART = re.compile(f"{BLOCK}|{TRANSCRIPT}", re.MULTILINE | re.DOTALL)
TIMED = re.compile(r"[\d.]+")


def parts() -> list[tuple[str, str, str]]:
    """Return what the page runs: a block of Python, or a command and what it printed."""
    text = (REPOSITORY / "docs" / "torch.md").read_text(encoding="utf-8")
    return [(match[1] or "", match[2] or "", match[3] or "") for match in re.finditer(PART, text)]


def first_words(output: str) -> list[str]:
    """Return the words of the first line of an output, without the numbers in it."""
    return re.sub(TIMED, "#", next(line for line in output.splitlines() if line.strip())).split()


def test_the_page_has_blocks_and_transcripts() -> None:
    assert [bool(block) for block, _, _ in parts()].count(True) == 3
    commands = [command.split()[0] for _, command, _ in parts() if command]
    assert commands == ["inspect", "profile", "solve", "split", "pipeline"]
    assert all(len(output.splitlines()) > 4 for _, command, output in parts() if command)
    # Transcripts are of standard output: warnings are not in it.
    assert not any("pipebound: " in output for _, _, output in parts())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_every_block_and_command_works(pipebound_process: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for number, (block, command, output) in enumerate(parts(), 1):
        if block:
            exec(compile(block, f"torch.md, part {number}", "exec"), names)
            continue
        done = pipebound_process(*shlex.split(command), timeout=600)
        assert done.returncode == 0, done.stderr
        assert first_words(done.stdout)[:3] == first_words(output)[:3]

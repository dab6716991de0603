"""The pages "Use it from Python", "What a stage costs" and others are run as they stand, from top to bottom."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from framework.registry import registry
from tests.conftest import REPOSITORY

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


PAGES = [("costs.md", 6), ("devices.md", 1), ("layouts.md", 4), ("records.md", 1), ("training.md", 4)]


@pytest.mark.parametrize(("page", "count"), PAGES)
def test_pages_with_python_say_what_is_so(
    page: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((REPOSITORY / "docs" / page).read_text(encoding="utf-8"))
    assert len(blocks) == count
    names: dict[str, Any] = {"__name__": "page"}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{page}, block {number}", "exec"), names)


def test_every_block_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall((REPOSITORY / "docs" / "python.md").read_text(encoding="utf-8"))
    assert len(blocks) == 13
    names: dict[str, Any] = {"__name__": "page"}
    try:
        for number, block in enumerate(blocks, 1):
            exec(compile(block, f"python.md, block {number}", "exec"), names)
    finally:
        registry._entries.pop("half-work", None)
    assert "nothing is registered as 'simpel' (did you mean simple" in capsys.readouterr().out
    assert not any(run.result.faults for run in names["comparison"].runs)
    assert {member.name for member in names["result"].members}
    assert {path.name for path in tmp_path.iterdir()} >= {"stages.svg", "result.json", "first.sqlite"}

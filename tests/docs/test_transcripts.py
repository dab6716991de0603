"""Transcripts of the pages have commands that the command line understands, and figures that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPOSITORY, module_of


@pytest.fixture(scope="module")
def script() -> Any:
    return module_of(REPOSITORY / "scripts" / "build_transcripts.py")


def test_transcripts_are_in_shape(script: Any) -> None:
    for page in script.PAGES:
        assert script.faults(REPOSITORY / page) == []


def test_every_figure_belongs_to_a_transcript(script: Any) -> None:
    pages = "".join((REPOSITORY / page).read_text(encoding="utf-8") for page in script.PAGES)
    for command, (_, figure) in script.FIGURES.items():
        assert f"{script.PROMPT}{command}\n" in pages
        assert figure in pages


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("solve x.onnx -k 4 --bugdet 3s", "No such option: --bugdet"),
        ("solve -k 4", "Missing argument 'GRAPH...'"),
        ("testbed lst", "no command 'lst'"),
        ("solv x.onnx -k 4", "no command 'solv'"),
    ],
)
def test_outdated_commands_are_found(script: Any, tmp_path: Path, command: str, complaint: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Page\n\n    $ pipebound {command}\n\n    output\n", encoding="utf-8")
    (fault,) = script.faults(page)
    assert fault.startswith("page.md, line 3: ")
    assert complaint in fault


def test_a_page_without_transcripts_is_a_fault(script: Any, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n", encoding="utf-8")
    assert script.faults(page) == ["page.md: no transcripts"]

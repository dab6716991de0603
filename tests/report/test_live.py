"""What moves while a command runs: bars, status lines and the live table show names as they are."""

from __future__ import annotations

import re

import pytest

from framework.bounds import Soundness
from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.report.console import status_line
from framework.report.escape import terminal
from framework.report.live import live_display
from framework.report.study.progress import study_progress
from framework.study.study import Progress

NAME = "[/red]{x}:smile:\x1b[2J\n\u202e[bold]"


@pytest.fixture(autouse=True)
def _a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("NO_COLOR", raising=False)


def plain(text: str) -> str:
    """Return what is left without the sequences that rich itself sends to style and to move the cursor."""
    assert "\x1b[2J" not in text
    assert "\u202e" not in text
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_study_shows_its_name_and_the_last_run(capsys: pytest.CaptureFixture[str]) -> None:
    with study_progress(NAME, quiet=False) as on_change:
        on_change(Progress(planned=3, done=1, last=f"last {NAME}"))
    shown = plain(capsys.readouterr().err)
    assert terminal(NAME) in shown
    assert terminal(f"last {NAME}") in shown
    assert "1/3" in shown


def test_a_status_line_shows_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    with status_line(NAME) as say:
        say(NAME)
    assert terminal(NAME) in plain(capsys.readouterr().err)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_live_table_keeps_numbers_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    problem = Problem(instance=instance_from_lists([123456, 7], []), stages=2)
    board = Board(problem, clock=lambda: 0.0)
    with live_display(NAME, 2, 10.0) as on_change:
        board.report_dual(100001, source="source [/x]", soundness=Soundness.EXACT)
        on_change(board, "member [/x]", NAME)
    shown = plain(capsys.readouterr().err)
    assert "100001" in shown
    assert "[/red]" in shown

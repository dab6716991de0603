"""A program watches a study: told once at the beginning, and whenever a run has ended."""

from __future__ import annotations

from pathlib import Path

import pytest

import pipebound
from framework.api.study import watch_study
from framework.study.study import Progress
from framework.testing.studies import made_up_folder

SPEC = """
name = "watched"
graphs = ["braid-*.graph.json"]
stages = [2]
entries = ["simple"]
budgets = ["5s"]
"""


def test_a_function_is_told_of_every_run_that_ends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_up_folder(tmp_path)
    (tmp_path / "watched.toml").write_text(SPEC)
    told: list[pipebound.StudyProgress] = []
    study = pipebound.Study(tmp_path / "watched.toml")
    study.run(jobs=1, warm=False, progress=told.append)
    planned = len(list(study.results()))
    assert planned > 1
    assert [(state.done, state.last == "") for state in (told[0], told[-1])] == [(0, True), (planned, False)]
    assert [state.done for state in told] == sorted({state.done for state in told})
    assert {(state.name, state.planned, state.failed, state.lost) for state in told} == {("watched", planned, 0, 0)}
    assert capsys.readouterr().err == ""
    # Nothing is left to run, and so there is nothing to tell.
    told.clear()
    study.run(progress=told.append)
    assert not told


def test_it_is_told_of_changes_alone() -> None:
    told: list[pipebound.StudyProgress] = []
    state = Progress(planned=3, done=1)
    with watch_study(told.append, "s") as on_change:
        on_change(state)
        on_change(state)
        state.lost += 1
        on_change(state)
        state.done, state.session, state.last = 2, 1, "g, k = 2, simple: optimal"
        on_change(state)
        on_change(state)
    assert [(row.done, row.lost, row.last) for row in told] == [(1, 0, ""), (1, 1, ""), (2, 1, state.last)]
    assert told[0].seconds_left is None
    assert told[-1].seconds_left is not None

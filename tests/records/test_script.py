"""`scripts/records.py`: runs and files go into the records, once, and what is wrong in them is found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.portfolio.result import Result
from framework.records.files import read_records, records_path
from framework.records.pair import Evidence
from framework.records.posing import PosedGraph
from tests.conftest import REPOSITORY, module_of

Script = Callable[..., tuple[int, str]]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Script:
    """Run the script in this process; return its exit code and what it printed."""
    path = REPOSITORY / "scripts" / "records.py"
    module = module_of(path, listed=monkeypatch)

    def run(*arguments: str | Path) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        return int(module.main()), capsys.readouterr().out

    return run


def test_results_are_taken_united_and_verified(
    script: Script, posed: PosedGraph, solved: Result, tmp_path: Path
) -> None:
    folder, other, file = tmp_path / "records", tmp_path / "other", tmp_path / "result.json"
    solved.write(file)
    code, said = script("fill", "--from-result", file, "--records", folder, "--check-seconds", "0")
    assert (code, said.splitlines()[-1]) == (0, "1 better, 1 results, 0 refused")
    path = records_path(posed.name, folder)
    assert read_records(path).pairs[2].interval == solved.interval
    assert read_records(path).pairs[2].bounds[0].evidence is Evidence.RUN
    assert "the dual bound now rests on a proof log" in script("fill", "--from-result", file, "--records", folder)[1]
    assert "0 better, 1 results" in script("fill", "--from-result", file, "--records", folder)[1]
    assert script("unite", folder, "--records", other)[1].endswith("1 pairs are better\n")
    assert read_records(records_path(posed.name, other)).pairs == read_records(path).pairs
    assert script("verify", "--records", other)[1].startswith("1 records checked")
    false = (solved.incumbent_ticks or 0) + 1
    ticks = '"best": {{"ticks": {}'
    path.write_text(path.read_text().replace(ticks.format(solved.incumbent_ticks), ticks.format(false)))
    code, said = script("verify", "--records", folder)
    assert code == 1
    assert f"the bottleneck is {solved.incumbent_ticks}, the record says {false}" in said


def test_pairs_are_run_once(script: Script, posed: PosedGraph, tmp_path: Path) -> None:
    shape = (
        "fill",
        "--graph",
        posed.name,
        "-k",
        "2",
        "--budget",
        "5s",
        "--entry",
        "simple",
        "--jobs",
        "1",
        "--no-warm",
    )
    code, said = script(*shape, "--records", tmp_path)
    assert (code, said.splitlines()[0]) == (0, "1 pairs to run, 5 s each at most")
    pair = read_records(records_path(posed.name, tmp_path)).pairs[2]
    assert pair.best is not None
    assert pair.longest == 5.0
    assert script(*shape, "--records", tmp_path)[1].startswith("0 pairs to run")
    said = script(*shape, "--records", tmp_path, "--again", "--seconds", "0")[1]
    assert said.startswith("1 pairs to run")
    assert said.endswith("0 better, 0 results, 0 refused\n")

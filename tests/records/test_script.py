"""`scripts/records.py`: runs and files go into the records, once, and what is wrong in them is found."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from framework.portfolio.result import Result
from framework.records.files import read_records, records_path
from framework.records.pair import Evidence
from framework.records.posing import PosedGraph
from tests.conftest import REPOSITORY


def script(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / "scripts" / "records.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=REPOSITORY, check=False)


def test_results_are_taken_united_and_verified(posed: PosedGraph, solved: Result, tmp_path: Path) -> None:
    folder, other = tmp_path / "records", tmp_path / "other"
    solved.write(tmp_path / "result.json")
    taken = script("fill", "--from-result", tmp_path / "result.json", "--records", folder, "--check-seconds", "0")
    assert taken.returncode == 0, taken.stderr
    assert taken.stdout.endswith("1 better, 1 results, 0 refused\n")
    path = records_path(posed.name, folder)
    assert read_records(path).pairs[2].interval == solved.interval
    assert read_records(path).pairs[2].bounds[0].evidence is Evidence.RUN
    checked = script("fill", "--from-result", tmp_path / "result.json", "--records", folder)
    assert "the dual bound now rests on a proof log" in checked.stdout
    again = script("fill", "--from-result", tmp_path / "result.json", "--records", folder)
    assert again.stdout.endswith("0 better, 1 results, 0 refused\n")
    united = script("unite", folder, "--records", other)
    assert united.stdout.endswith("1 pairs are better\n")
    assert read_records(records_path(posed.name, other)).pairs == read_records(path).pairs
    assert "1 records checked" in script("verify", "--records", other).stdout
    said = (solved.incumbent_ticks or 0) + 1
    ticks = '"best": {{"ticks": {}'
    path.write_text(path.read_text().replace(ticks.format(solved.incumbent_ticks), ticks.format(said)))
    wrong = script("verify", "--records", folder)
    assert wrong.returncode == 1
    assert f"the bottleneck is {solved.incumbent_ticks}, the record says {said}" in wrong.stdout


def test_pairs_are_run_once(posed: PosedGraph, tmp_path: Path) -> None:
    shape = ("--graph", posed.name, "-k", "2", "--budget", "5s", "--entry", "simple", "--jobs", "1", "--no-warm")
    first = script("fill", *shape, "--records", tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("1 pairs to run, 5 s each at most\n")
    pair = read_records(records_path(posed.name, tmp_path)).pairs[2]
    assert pair.best is not None
    assert pair.longest == 5.0
    assert script("fill", *shape, "--records", tmp_path).stdout.startswith("0 pairs to run")
    more = script("fill", *shape, "--records", tmp_path, "--again", "--seconds", "0")
    assert more.stdout.startswith("1 pairs to run")
    assert more.stdout.endswith("0 better, 0 results, 0 refused\n")

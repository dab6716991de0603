"""Submitting files: what is better is written into the records, or into a patch that git applies."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from framework.errors import UserError
from framework.portfolio.result import Result
from framework.records.files import FOLDER, read_records, records_path, records_text, write_records
from framework.records.pair import BestPartition, Evidence, PairRecord
from framework.records.posing import PosedGraph
from framework.records.start import recorded_partition
from framework.records.submission import submit
from tests.records.test_pair import ORIGIN, bound


@pytest.fixture
def result_file(solved: Result, tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    solved.write(path)
    return path


def test_better_results_are_written(posed: PosedGraph, solved: Result, result_file: Path, tmp_path: Path) -> None:
    worse = PairRecord(
        stages=2,
        best=BestPartition(ticks=posed.bottleneck(_all_in_one(posed), 2), runs="0*29", origin=ORIGIN),
        bounds=(bound(1, Evidence.LOG),),
    )
    folder = tmp_path / "records"
    write_records(posed.no_records().with_pair(worse), folder)
    found = submit([result_file], credit="Ada", folder=folder)
    assert found.written == (records_path(posed.name, folder),)
    assert not found.is_patch
    pair = read_records(found.written[0]).pairs[2]
    assert pair.interval == solved.interval
    assert pair.best is not None
    assert pair.best.origin.credit == "Ada"
    assert pair.bounds[0].evidence is Evidence.LOG
    assert recorded_partition(posed.graph, 2, folder).stage_of == solved.stage_of
    again = submit([result_file], folder=folder)
    assert again.written == ()
    assert not again.is_false


def _all_in_one(posed: PosedGraph) -> Any:
    import numpy as np

    return np.zeros(posed.graph.topology.n, np.int64)


@pytest.mark.parametrize("is_new", [True, False])
def test_git_applies_the_patch(
    posed: PosedGraph, solved: Result, result_file: Path, tmp_path: Path, is_new: bool
) -> None:
    checkout, folder = tmp_path / "checkout", tmp_path / "records"
    place = checkout / "framework/testbed/data/records"
    place.mkdir(parents=True)
    if not is_new:
        before = posed.no_records().with_pair(PairRecord(stages=4, bounds=(bound(1, Evidence.LOG),)))
        write_records(before, folder)
        write_records(before, place)
    found = submit([result_file], folder=folder, patch=tmp_path / "better.patch")
    assert found.is_patch
    assert found.written == (tmp_path / "better.patch",)
    assert records_path(posed.name, folder).exists() is not is_new
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    subprocess.run(["git", "apply", str(found.written[0])], cwd=checkout, check=True)
    records = read_records(records_path(posed.name, place))
    assert records.pairs[2].interval == solved.interval
    assert set(records.pairs) == ({2} if is_new else {2, 4})


def test_nothing_is_written_of_what_is_false(result_file: Path, tmp_path: Path, document: dict[str, Any]) -> None:
    document["incumbent_ticks"] -= 1
    false = tmp_path / "false.json"
    false.write_text(json.dumps(document))
    found = submit([false], folder=tmp_path / "records")
    assert found.is_false
    assert "this is false in it" in found.rows[0].refused
    assert found.written == ()
    both = submit([false, result_file], folder=tmp_path / "records")
    assert both.is_false
    assert len(both.written) == 1


def test_a_partition_below_a_recorded_bound_is_refused(posed: PosedGraph, solved: Result, result_file: Path) -> None:
    folder = result_file.parent / "records"
    high = bound((solved.incumbent_ticks or 0) + 1, Evidence.RUN)
    write_records(posed.no_records().with_pair(PairRecord(stages=2, bounds=(high,))), folder)
    before = records_path(posed.name, folder).read_text()
    found = submit([result_file], folder=folder)
    assert found.is_false
    assert "one of the two is wrong" in found.rows[0].refused
    assert records_path(posed.name, folder).read_text() == before


def test_files_that_cannot_be_read_stop_everything(result_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing\.json"):
        submit([result_file, tmp_path / "missing.json"], folder=tmp_path / "records")
    assert not (tmp_path / "records").exists()
    with pytest.raises(UserError, match="a proof log is of one result"):
        submit([result_file, result_file], proof=result_file, folder=tmp_path / "records")


def test_starting_without_a_record_is_refused(posed: PosedGraph, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pyg-gin-3: no partition into 2 stages is recorded \(give a result file\)"):
        recorded_partition(posed.graph, 2, tmp_path)
    with pytest.raises(UserError, match="graphs of the testbed only"):
        recorded_partition(replace(posed.graph, name="mine"), 2, tmp_path)


def test_texts_of_the_package_are_as_written(posed: PosedGraph) -> None:
    path = records_path(posed.name)
    assert path.parent == FOLDER
    if path.exists():
        assert records_text(read_records(path)) == path.read_text()

"""`pipebound testbed records`, `pipebound testbed submit`, and runs that start from a record."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from framework.records.files import all_records
from tests.cli.conftest import Run


@pytest.fixture(scope="module")
def recorded() -> tuple[str, int]:
    """The smallest number of stages of a graph that there is a record of."""
    records = next(records for records in all_records() if records.pairs)
    return records.graph, min(records.pairs)


def test_the_table_says_how_good_who_and_when(pipebound: Run, recorded: tuple[str, int]) -> None:
    name, k = recorded
    done = pipebound("testbed", "records", "--graph", f"testbed:{name}", "-k", k)
    assert done.returncode == 0, done.stderr
    assert all(heading in done.stdout for heading in ("bound / best", "rests on", "who", "when"))
    assert done.stdout.strip().splitlines()[-1].startswith("1 pair: ")
    assert name in done.stdout


def test_json_and_csv_hold_the_same(pipebound: Run, recorded: tuple[str, int]) -> None:
    rows = json.loads(pipebound("testbed", "records", "--graph", recorded[0], "--json").stdout)
    table = list(csv.DictReader(io.StringIO(pipebound("testbed", "records", "--graph", recorded[0], "--csv").stdout)))
    assert [list(row) for row in table] == [list(row) for row in rows]
    assert [row["stages"] for row in table] == [str(row["stages"]) for row in rows]
    row = next(row for row in rows if row["stages"] == recorded[1])
    assert row["state"] in ("optimal", "open")
    assert row["bound"] == pytest.approx(row["bound_ticks"] / row["ticks_per_second"])
    assert row["bound_ticks"] <= row["bottleneck_ticks"]


def test_open_pairs_only(pipebound: Run, recorded: tuple[str, int]) -> None:
    rows = json.loads(pipebound("testbed", "records", "--graph", recorded[0], "--json").stdout)
    kept = json.loads(pipebound("testbed", "records", "--graph", recorded[0], "--open", "--json").stdout)
    assert kept == [row for row in rows if row["state"] != "optimal"]


def test_a_run_starts_from_the_record_and_is_submitted(
    pipebound: Run, recorded: tuple[str, int], tmp_path: Path
) -> None:
    name, k = recorded
    graph = f"testbed:{name}"
    shape = ("--with", "simple", "--budget", "20s", "-o", "out.json", "--start", "testbed-record")
    done = pipebound("solve", graph, "-k", k, *shape)
    assert done.returncode == 0, done.stderr
    known = next(records for records in all_records() if records.graph == name).pairs[k]
    assert known.best is not None
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["incumbent_ticks"] <= known.best.ticks
    done = pipebound("testbed", "submit", "out.json", "--patch", "better.patch")
    assert done.returncode == 0, done.stderr
    assert "out.json: " in done.stdout
    assert "nothing better than the record" in done.stdout
    assert not (tmp_path / "better.patch").exists()


def test_mistakes_get_one_line(pipebound: Run, recorded: tuple[str, int], tmp_path: Path, graph_file: Path) -> None:
    (tmp_path / "empty.json").write_text("{}")
    for arguments, said in {
        ("testbed", "records", "--graph", "resnet5"): "no bundled graph is called 'resnet5' (did you mean resnet50",
        ("testbed", "records", "-k", "3"): "there are no records of 3 stages (choose from 2, 4, 8, 16, 32, 64)",
        ("testbed", "records", "--csv", "--json"): "--csv and --json exclude each other (drop one)",
        ("testbed", "submit", "empty.json"): "empty.json: not a pipebound-result",
        ("testbed", "submit", "none.json"): "none.json",
        ("solve", f"testbed:{recorded[0]}", "-k", "3", "--start", "testbed-record"): "no partition into 3 stages",
        ("solve", str(graph_file), "-k", "2", "--start", "testbed-record"): "records of graphs of the testbed only",
    }.items():
        done = pipebound(*arguments)
        assert done.returncode == 2, done.stdout
        assert said in done.stderr
        assert done.stderr.count("\n") == 1

"""`compare`, `list`, `inspect`, `versions`, `warm`."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Run

FAULTY = Path(__file__).parent.parent / "plugins" / "faulty.py"


def test_compare_measures_against_the_best_partition(pipebound: Run, graph_file: Path) -> None:
    done = pipebound("compare", graph_file, "simple", "ideal-dp", "-k", "2", "-k", "3", "--json")
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)["runs"]
    assert [(run["entry"], run["stages"]) for run in runs] == [
        ("simple", 2),
        ("ideal-dp", 2),
        ("simple", 3),
        ("ideal-dp", 3),
    ]
    for simple, exact in (runs[:2], runs[2:]):
        assert exact["ratio"] == 1.0
        assert exact["best_incumbent_ticks"] == exact["dual_bound_ticks"] == simple["best_incumbent_ticks"]
        assert simple["ratio"] < 1.0
        assert simple["incumbent_ticks"] is None


def test_compare_prints_a_table_for_each_number_of_stages(pipebound: Run, graph_file: Path) -> None:
    done = pipebound("compare", graph_file, "simple", "default", "-k", "2", "-k", "3")
    assert done.returncode == 0, done.stderr
    assert "k = 2" in done.stdout
    assert "k = 3" in done.stdout
    assert done.stdout.count("default") == 2


def test_compare_exits_with_1_on_a_contradiction(pipebound_process: Run, graph_file: Path) -> None:
    done = pipebound_process("compare", graph_file, "simple", "test-lies", "-k", "2", "--plugin", FAULTY)
    assert done.returncode == 1
    assert "CONTRADICTION" in done.stdout


def test_list_names_everything(pipebound: Run) -> None:
    done = pipebound("list", "--json")
    assert done.returncode == 0, done.stderr
    tables = json.loads(done.stdout)
    assert {"formulations", "strategies", "portfolios", "devices", "formats", "testbed"} == set(tables)
    assert "default" in {row["name"] for row in tables["portfolios"]}
    assert "reference" in {row["name"] for row in tables["devices"]}
    assert all(row["source"] for row in tables["devices"])
    assert [row["subset"] for row in tables["testbed"]] == ["smoke", "core", "full", "training", "regal-like"]


def test_list_shows_plugins(pipebound_process: Run) -> None:
    done = pipebound_process("list", "formulations", "--plugin", FAULTY)
    assert "test-hangs" in done.stdout


def test_inspect_measures_and_draws(pipebound: Run, graph_file: Path, tmp_path: Path) -> None:
    done = pipebound("inspect", graph_file, "--plot", tmp_path / "graph.svg", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["shape"]["as read"]["nodes"] == 12
    assert facts["shape"]["as read"]["width"] == 1
    assert facts["shape"]["as read"]["ideals"] == 13
    assert facts["shape"]["reduced"]["nodes"] <= 12
    assert "<svg" in (tmp_path / "graph.svg").read_text()
    assert "bottleneck candidates" in pipebound("inspect", graph_file).stdout


def test_versions(pipebound: Run) -> None:
    rows = json.loads(pipebound("versions", "--json").stdout)
    assert rows["pipebound"]
    assert rows["ortools"] != "not installed"

"""`pipebound verify` believes nothing: every tampered field is found."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.formats import read_graph
from framework.portfolio.verification import verify_document
from framework.registry import load_plugins
from tests.cli.conftest import Run


@pytest.fixture
def document(pipebound: Run, graph_file: Path, tmp_path: Path) -> dict[str, Any]:
    done = pipebound("solve", graph_file, "-k", "3", "--json", "-o", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    loaded: dict[str, Any] = json.loads(done.stdout)
    return loaded


def failures(document: dict[str, Any], graph_file: Path) -> list[str]:
    load_plugins()
    return [check.what for check in verify_document(document, read_graph(graph_file)).checks if not check.passed]


def test_a_true_result_passes(pipebound: Run, document: dict[str, Any], graph_file: Path, tmp_path: Path) -> None:
    assert failures(document, graph_file) == []
    # Which member closes the gap, and so whether there is a certificate, may differ from run to run.
    done = pipebound("verify", tmp_path / "result.json", "--graph", graph_file, "--allow-unproven")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "checks passed" in done.stdout


def _move_a_node(document: dict[str, Any]) -> None:
    document["stage_of"][0] = 2


def _claim_less(document: dict[str, Any]) -> None:
    document["incumbent_ticks"] -= 1


def _claim_a_higher_bound(document: dict[str, Any]) -> None:
    document["bounds"][0]["ticks"] += 1000
    document["dual_bound_ticks"] += 1000


def _forget_a_bound(document: dict[str, Any]) -> None:
    document["bounds"] = document["bounds"][1:]


def _change_a_stage_cost(document: dict[str, Any]) -> None:
    document["stage_costs"][1]["in"] += 1


def _claim_no_gap(document: dict[str, Any]) -> None:
    document["relative_gap"] = 0.125


def _swap_the_graph(document: dict[str, Any]) -> None:
    document["graph"]["sha256"] = "0" * 64


def _raise_simple(document: dict[str, Any]) -> None:
    row = next(row for row in document["bounds"] if row["source"] == "simple")
    row["ticks"] += 1


def _point_elsewhere(document: dict[str, Any]) -> None:
    row = next(row for row in document["bounds"] if row["certificate"] is not None)
    row["certificate"]["instance"] = "f" * 64


def _overflow_a_certificate(document: dict[str, Any]) -> None:
    row = next(row for row in document["bounds"] if row["certificate"] is not None)
    data = {"threshold": 10**30, "anchors": [10**30], "trees": [[10**30] * 3], "scale": 1, "weights": [10**30]}
    row["certificate"] |= {"kind": "counting", "data": data}


@pytest.mark.parametrize(
    "tamper",
    [
        _overflow_a_certificate,
        _move_a_node,
        _claim_less,
        _claim_a_higher_bound,
        _forget_a_bound,
        _change_a_stage_cost,
        _claim_no_gap,
        _swap_the_graph,
        _raise_simple,
        _point_elsewhere,
    ],
)
def test_tampering_is_found(
    document: dict[str, Any], graph_file: Path, tamper: Callable[[dict[str, Any]], None]
) -> None:
    tamper(document)
    assert failures(document, graph_file) != []


def test_a_failed_check_exits_with_1(
    pipebound: Run, document: dict[str, Any], graph_file: Path, tmp_path: Path
) -> None:
    document["incumbent_ticks"] -= 1
    path = tmp_path / "tampered.json"
    path.write_text(json.dumps(document))
    done = pipebound("verify", path, "--graph", graph_file)
    assert done.returncode == 1
    assert "FAILED" in done.stdout


def test_ids_of_the_file_stand_beside_the_stages(pipebound: Run, tmp_path: Path) -> None:
    nodes = [{"id": key, "name": "conv", "fpgaLatency": 2, "supportedOnFpga": 1} for key in (70, 3)]
    top = {"maxFPGAs": 2, "nodes": nodes, "edges": [{"sourceId": 70, "destId": 3, "cost": 0}]}
    path, out = tmp_path / "in.json", tmp_path / "r.json"
    path.write_text(json.dumps(top))
    assert pipebound("solve", str(path), "-k", "2", "--with", "simple", "-o", str(out)).returncode == 0
    document = json.loads(out.read_text())
    assert (document["node_ids"], document["node_names"]) == ([70, 3], ["conv#70", "conv#3"])
    assert len(document["stage_of"]) == 2
    assert pipebound("verify", str(out)).returncode == 0
    out.write_text(json.dumps(document | {"node_ids": [3, 70]}))
    assert pipebound("verify", str(out)).returncode == 1

"""`solve --proof` writes a log, `python -m framework.proof` accepts it and loads nothing that wrote it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from framework.formats import read_graph
from framework.proof.check import replay
from framework.proof.log import parse_log, read_log
from tests.cli.conftest import Run

FOREIGN = ("framework.structure", "framework.portfolio", "framework.registry", "formulations", "strategies", "numba")


@pytest.fixture
def proof(pipebound: Run, graph_file: Path, tmp_path: Path) -> Path:
    path = tmp_path / "proof.json.xz"
    done = pipebound("solve", graph_file, "-k", "3", "-o", tmp_path / "result.json", "--proof", path)
    assert done.returncode == 0, done.stderr
    return path


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "framework.proof", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_a_proof_is_written_checked_and_verified(pipebound: Run, proof: Path, graph_file: Path, tmp_path: Path) -> None:
    done = check(proof, graph_file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The proof holds: the partition is optimal" in done.stdout
    done = pipebound("verify", tmp_path / "result.json", "--proof", proof)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of the proof (checked)" in done.stdout
    assert "everything claimed is proven" in done.stdout


def test_false_proofs_and_no_proofs_have_codes_of_their_own(proof: Path, graph_file: Path, tmp_path: Path) -> None:
    document: dict[str, Any] = read_log(proof).as_dict()
    document["bound_ticks"] += 1
    false = tmp_path / "false.json"
    false.write_text(json.dumps(document))
    done = check(false, graph_file)
    assert done.returncode == 1
    assert "The proof does not hold: the steps prove" in done.stdout
    damaged = tmp_path / "damaged.json"
    damaged.write_text("{")
    done = check(damaged, graph_file)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    done = check(proof, "testbed:squeezenet")
    assert done.returncode == 2
    assert "another graph" in done.stderr


def test_the_checker_loads_nothing_that_it_checks(proof: Path, graph_file: Path) -> None:
    program = (
        "import sys, runpy; sys.argv = ['proof', *sys.argv[1:]]\n"
        "try: runpy.run_module('framework.proof', run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, proof, graph_file], capture_output=True, text=True, check=False
    )
    loaded = done.stdout.splitlines()[-1].split()
    assert "framework.proof.check" in loaded
    assert not [name for name in loaded if name.startswith(FOREIGN)]


def test_a_partition_that_costs_less_than_the_bound_is_a_fault(proof: Path, graph_file: Path) -> None:
    document = read_log(proof).as_dict()
    graph = read_graph(graph_file)
    assert replay(parse_log(document, "log"), graph).optimal
    document["stage_of"] = [0] * len(document["stage_of"])
    found = replay(parse_log(document, "log"), graph)
    assert not found.fault
    assert not found.optimal
    document["stage_of"][0] = 2
    assert "earlier stage" in replay(parse_log(document, "log"), graph).fault

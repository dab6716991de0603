"""`solve --proof` writes a log, `python -m framework.proof` accepts it and loads nothing that wrote it."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.pricing import quantise
from framework.model.problem import Problem
from framework.proof.check import replay
from framework.proof.given import Given
from framework.proof.log import VERSION, ProofLog, Step, parse_log, read_log, write_log
from framework.proof.problem import plain_problem
from framework.structure.reduction.dominance import moves_of_reduction
from framework.testing.brute_force import brute_force_optimum
from tests.cli.conftest import Run

FOREIGN = ("framework.structure", "framework.portfolio", "framework.registry", "formulations", "strategies", "numba")


@pytest.fixture
def proof(graph_file: Path, tmp_path: Path) -> Path:
    """Three stages, and a partition that brute force finds optimal."""
    graph = read_graph(graph_file)
    instance = quantise(graph).instance
    optimum = brute_force_optimum(Problem(instance=instance, stages=3))
    step = Step(rule="ideal-program", data={"threshold": optimum - 1})
    plain = plain_problem(instance, 3)
    cuts = itertools.combinations_with_replacement(range(13), 2)
    orders = ((0,) * a + (1,) * (b - a) + (2,) * (12 - b) for a, b in cuts)
    best = min(orders, key=plain.bottleneck)
    path = tmp_path / "proof.json.xz"
    log = ProofLog(graph=graph.sha256(), device=None, stages=3, bound=optimum, steps=(step,), stage_of=best)
    write_log(log, path)
    return path


def check(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "framework.proof", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_a_proof_is_written_checked_and_verified(pipebound: Run, graph_file: Path, tmp_path: Path) -> None:
    result, proof = tmp_path / "result.json", tmp_path / "proof.json"
    how = ("-k", "3", "--with", "ideal-dp", "--budget", "100s", "--workers", "1")
    done = pipebound("solve", graph_file, *how, "-o", result, "--proof", proof)
    assert done.returncode == 0, done.stderr
    assert [step.rule for step in read_log(proof).steps][-1] == "ideal-program"
    done = check(proof, graph_file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The proof holds: the partition is optimal" in done.stdout
    done = pipebound("verify", result, "--proof", proof)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "of the proof (checked)" in done.stdout
    assert "everything claimed is proven" in done.stdout


@pytest.mark.parametrize(
    "given",
    [
        ("-k", "3", "--same-stage", "v1,v4", "--no-cut", "v7"),
        ("-k", "3", "--pin", "v5=0", "--pin", "v6=2"),
        ("-k", "3", "--memory-limit", "5", "--pin", "v3=1"),
    ],
    ids=" ".join,
)
def test_what_is_fixed_beforehand_is_a_part_of_the_proof(
    given: tuple[str, ...], pipebound: Run, graph_file: Path, tmp_path: Path
) -> None:
    result, proof = tmp_path / "result.json", tmp_path / "proof.json"
    how = ("--with", "ideal-dp", "--budget", "100s", "--workers", "1")
    done = pipebound("solve", graph_file, *given, *how, "-o", result, "--proof", proof)
    assert done.returncode == 0, done.stderr
    done = check(proof, graph_file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The proof holds: the partition is optimal" in done.stdout
    log = read_log(proof)
    assert replay(replace(log, given=Given()), read_graph(graph_file)).fault
    done = pipebound("verify", result, "--proof", proof)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_chain_of_devices_is_a_part_of_the_proof(pipebound: Run, tmp_path: Path) -> None:
    proof = tmp_path / "proof.json"
    how = ("--devices", "edge-tpu,reference,reference", "--with", "ideal-dp", "--budget", "100s", "--workers", "1")
    done = pipebound("solve", "testbed:squeezenet", *how, "--proof", proof)
    assert done.returncode == 0, done.stderr
    done = check(proof, "testbed:squeezenet")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The proof holds: the partition is optimal" in done.stdout


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


def test_a_shorter_log_is_written_and_holds(tmp_path: Path) -> None:
    graph, device = read_graph("testbed:squeezenet"), load_device("reference")
    moves = [int(v) for pair in moves_of_reduction(quantise(graph, device).instance)[1] for v in pair]
    bound = 234_591_200_000
    steps = (Step(rule="contract", data={"moves": moves}), Step(rule="ideal-program", data={"threshold": bound - 1}))
    log, shorter = tmp_path / "log.json.xz", tmp_path / "shorter.json.xz"
    write_log(ProofLog(graph=graph.sha256(), device=device, stages=4, bound=bound, steps=steps), log)
    done = check(log, "testbed:squeezenet", "--shorten", shorter, "--seconds", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith(f"Of {len(moves) + 1} numbers in its steps ")
    assert shorter.stat().st_size < log.stat().st_size
    assert len(str(read_log(shorter).steps)) < len(str(steps))
    assert f"no partition costs less than {bound} ticks" in check(shorter, "testbed:squeezenet").stdout


def test_a_log_of_another_version_is_unproven_and_not_false(
    pipebound: Run, proof: Path, graph_file: Path, tmp_path: Path
) -> None:
    result, other = tmp_path / "result.json", tmp_path / "other.json"
    how = ("-k", "3", "--with", "ideal-dp", "--budget", "100s", "--workers", "1")
    assert pipebound("solve", graph_file, *how, "-o", result).returncode == 0
    other.write_text(json.dumps(read_log(proof).as_dict() | {"version": VERSION + 1}))
    done = check(other, graph_file)
    assert done.returncode == 4
    assert done.stdout.startswith("Unproven, and not shown to be false: ")
    done = pipebound("verify", result, "--proof", other)
    assert done.returncode == 4, done.stdout + done.stderr
    assert "FAILED" not in done.stdout
    assert f"version {VERSION + 1} of proofs is not known" in " ".join(done.stdout.split())


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

"""Unequal devices on the command line: solve, verify, recommend, and mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run

DEVICES = "2*edge-tpu,xeon-8380"


def test_solve_writes_what_verify_accepts(pipebound: Run, tmp_path: Path) -> None:
    out = tmp_path / "r.json"
    done = pipebound(
        "solve", "testbed:squeezenet", "--devices", DEVICES, "--with", "simple,annealing", "--budget", "5s", "-o", out
    )
    assert done.returncode == 0, done.stderr
    assert "device 2*edge-tpu,xeon-8380" in done.stdout
    document = json.loads(out.read_text())
    assert document["stages"] == 3
    assert document["device"]["stages"] == [0, 0, 1]
    checked = pipebound("verify", out)
    assert checked.returncode == 0, checked.stdout
    assert "false" not in checked.stdout
    document["device"]["stages"] = [1, 0, 1]
    out.write_text(json.dumps(document))
    assert pipebound("verify", out).returncode != 0


def test_every_order_is_bounded(pipebound: Run, tmp_path: Path) -> None:
    done = pipebound(
        *("solve", "testbed:squeezenet", "--devices", DEVICES, "--any-order", "--with", "simple"),
        *("--budget", "20s", "--json"),
    )
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert len(document["arrangements"]) == 3
    assert document["bound"] == min(row["bound"] for row in document["arrangements"])
    assert document["best"]["incumbent"] >= document["bound"]


def test_recommend_says_which_devices_are_worth_using(pipebound: Run) -> None:
    done = pipebound(
        "recommend", "testbed:squeezenet", "--devices", DEVICES, "--with", "simple", "--budget", "10s", "--json"
    )
    assert done.returncode == 0, done.stderr
    choices = json.loads(done.stdout)["choices"]
    assert [choice["stages"] for choice in choices] == [1, 2, 3]
    assert choices[0]["devices"] == "xeon-8380"
    assert all(choice["latency"] >= choice["bottleneck"] for choice in choices)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--devices", DEVICES, "-k", "2"], "names 3 devices"),
        (["--devices", "2*nothing"], "no device is called"),
        (["--device", "reference", "-k", "2", "--any-order"], "all stages run on the same device"),
        ([], "the number of stages is missing"),
    ],
)
def test_mistakes(pipebound: Run, arguments: list[str], words: str) -> None:
    done = pipebound("solve", "testbed:squeezenet", *arguments)
    assert done.returncode == 2
    assert words in done.stderr

"""`new`: the file it writes works as it is, and the suite notices when it is spoilt."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run


def test_the_file_passes_the_suite_and_bounds(
    pipebound: Run, pipebound_process: Run, tmp_path: Path, graph_file: Path
) -> None:
    done = pipebound("new", "formulation", "my-bound")
    assert done.returncode == 0, done.stderr
    assert "pipebound check my-bound --plugin my_bound.py" in done.stdout
    checked = pipebound_process("check", "my-bound:depth=3", "--plugin", "my_bound.py", "--seeds", "10", "--json")
    assert checked.returncode == 0, checked.stdout
    assert all(check["passed"] for check in json.loads(checked.stdout))
    compared = pipebound_process(
        "compare", graph_file, "my-bound", "ideal-dp", "-k", "3", "--plugin", "my_bound.py", "--json"
    )
    assert compared.returncode == 0, compared.stderr
    mine, exact = json.loads(compared.stdout)["runs"]
    assert 0 < mine["dual_bound_ticks"] <= exact["dual_bound_ticks"]


def test_a_decision_passes_the_suite_and_gets_its_bound(
    pipebound: Run, pipebound_process: Run, tmp_path: Path, graph_file: Path
) -> None:
    assert pipebound("new", "decision", "my-test").returncode == 0
    text = (tmp_path / "my_test.py").read_text()
    assert "def decide(" in text
    assert "def bound(" not in text
    checked = pipebound_process("check", "my-test", "--plugin", "my_test.py", "--seeds", "10", "--json")
    assert checked.returncode == 0, checked.stdout
    assert all(check["passed"] for check in json.loads(checked.stdout))
    arguments = (graph_file, "my-test", "bisection:over=my-test", "-k", "8", "--budget", "60s", "--json")
    compared = pipebound_process("compare", *arguments, "--plugin", "my_test.py")
    assert compared.returncode == 0, compared.stderr
    # The simple bound is 15.
    assert all(
        15 < run["dual_bound_ticks"] <= run["best_incumbent_ticks"] for run in json.loads(compared.stdout)["runs"]
    )


def test_a_spoilt_decision_is_caught(pipebound: Run, pipebound_process: Run, tmp_path: Path) -> None:
    assert pipebound("new", "decision", "spoilt").returncode == 0
    path = tmp_path / "spoilt.py"
    assert "heavy > problem.useful_stages" in path.read_text()
    path.write_text(path.read_text().replace("heavy > problem.useful_stages", "heavy >= problem.useful_stages"))
    checked = pipebound_process("check", "spoilt", "--plugin", "spoilt.py", "--seeds", "20", "--json")
    assert checked.returncode == 1


def test_a_spoilt_bound_is_caught(pipebound: Run, pipebound_process: Run, tmp_path: Path) -> None:
    assert pipebound("new", "formulation", "spoilt", "-o", "other.py").returncode == 0
    path = tmp_path / "other.py"
    text = path.read_text()
    assert "heaviest[k * q - q : k * q + 1]" in text
    path.write_text(text.replace("heaviest[k * q - q : k * q + 1]", "heaviest[: q + 1]"))
    checked = pipebound_process("check", "spoilt", "--plugin", "other.py", "--seeds", "20", "--json")
    assert checked.returncode == 1
    failed = [check["name"] for check in json.loads(checked.stdout) if not check["passed"]]
    assert "bounds and partitions are true on random problems" in failed


def test_a_keyword_is_no_class(pipebound: Run, tmp_path: Path) -> None:
    assert pipebound("new", "formulation", "none").returncode == 0
    compile((tmp_path / "none.py").read_text(), "none.py", "exec")


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("My-Bound", "is no name"),
        ("3x", "is no name"),
        ("", "is no name"),
        ("a_b", "is no name"),
        ("simple", "the name 'simple' is taken"),
        ("there", "there.py: there is a file already"),
    ],
)
def test_mistakes_get_one_line(pipebound: Run, tmp_path: Path, name: str, complaint: str) -> None:
    (tmp_path / "there.py").write_text("mine")
    done = pipebound("new", "formulation", name)
    assert done.returncode == 2
    assert complaint in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert (tmp_path / "there.py").read_text() == "mine"

"""`pipebound solve` as a user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import Run

FAULTY = Path(__file__).parent.parent / "plugins" / "faulty.py"


def test_solve_proves_optimality_and_writes_what_it_prints(pipebound: Run, graph_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    done = pipebound("solve", graph_file, "-k", "3", "-o", out, "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert printed == json.loads(out.read_text())
    assert printed["format"] == "pipebound-result"
    assert printed["status"] == "optimal"
    assert printed["dual_bound_ticks"] == printed["incumbent_ticks"]
    assert printed["relative_gap"] == 0.0
    assert printed["faults"] == []
    assert len(printed["stage_of"]) == 12
    assert max(row["total"] for row in printed["stage_costs"]) == printed["incumbent"]
    seconds = [point[0] for point in printed["trajectory"]]
    assert seconds == sorted(seconds)


def test_several_numbers_of_stages_make_a_table_and_numbered_files(
    pipebound: Run, graph_file: Path, tmp_path: Path
) -> None:
    done = pipebound("solve", graph_file, "-k", "1", "-k", "2", "-k", "40", "-o", tmp_path / "r.json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("optimal") == 3
    assert {path.name for path in tmp_path.glob("r-k*.json")} == {"r-k1.json", "r-k2.json", "r-k40.json"}
    assert not done.stderr


def test_solve_draws(pipebound: Run, graph_file: Path, tmp_path: Path) -> None:
    picture = tmp_path / "stages.svg"
    done = pipebound("solve", graph_file, "-k", "3", "--plot", picture)
    assert done.returncode == 0, done.stderr
    assert "<svg" in picture.read_text()


def test_one_entry_instead_of_a_portfolio(pipebound: Run, graph_file: Path) -> None:
    done = pipebound("solve", graph_file, "-k", "3", "--with", "slice-graph", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [member["name"] for member in result["members"]] == ["presolve", "slice-graph"]


def test_a_gap_is_a_reason_to_stop(pipebound: Run, graph_file: Path) -> None:
    done = pipebound("solve", graph_file, "-k", "3", "--gap", "0.9", "--json")
    assert json.loads(done.stdout)["status"] in ("gap_reached", "optimal")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["solve", "absent.json", "-k", "2"], "absent.json"),
        (["solve", "GRAPH", "-k", "0"], "the number of stages is 0 (choose 1 to 65536)"),
        (["solve", "GRAPH", "-k", "2", "--budget", "soon"], "--budget: cannot read 'soon'"),
        (["solve", "GRAPH", "-k", "2", "--budget", "0s"], "no time to run in"),
        (["solve", "GRAPH", "-k", "2", "--with", "ideal-pd"], "did you mean ideal-dp"),
        (["solve", "GRAPH", "-k", "2", "--with", "ideal-dp:max_ideals=x"], "'x' is no int"),
        (["solve", "GRAPH", "-k", "2", "--device", "reference"], "this graph carries its own prices"),
        (["solve", "GRAPH", "-k", "2", "--plot", "out.bmp"], "cannot draw a .bmp"),
        (["solve", "GRAPH", "-k", "2", "--dim", "N"], "write --dim NAME=VALUE"),
        (["solve", "GRAPH", "-k", "2", "--format", "excel"], "excel"),
        (["solve", "GRAPH", "-k", "2", "--plugin", "absent.py"], "absent.py: no such file"),
        (["solve", "GRAPH", "-k", "2", "--memory", "lots"], "--memory: cannot read 'lots'"),
        (["verify", "absent.json"], "absent.json"),
        (["verify", "GRAPH"], "not a pipebound-result"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(
    pipebound: Run, graph_file: Path, arguments: list[str], words: str
) -> None:
    done = pipebound(*[str(graph_file) if text == "GRAPH" else text for text in arguments])
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def _wait_for_member(started: Path) -> int:
    """Return the process id that test-waits wrote."""
    deadline = time.monotonic() + 50
    while not (started.exists() and started.read_text()):
        assert time.monotonic() < deadline, "the member did not start"
        time.sleep(0.05)
    return int(started.read_text())


def test_members_die_with_a_killed_command(graph_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "framework", "solve", str(graph_file), "-k", "3", "--budget", "60s"]
    command += ["--plugin", str(FAULTY), "--with", "test-waits"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=tmp_path,
        env={**os.environ, "PIPEBOUND_TEST_STARTED": str(tmp_path / "started")},
    )
    member = _wait_for_member(tmp_path / "started")
    assert Path(f"/proc/{member}").exists()
    process.kill()
    process.wait(timeout=30)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{member}").exists():
        assert time.monotonic() < deadline, "the member outlived its runner"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_saves_what_was_proved_and_exits_130(
    graph_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "result.json"
    command = [sys.executable, "-m", "framework", "solve", str(graph_file), "-k", "3", "--budget", "60s"]
    command += ["--plugin", str(FAULTY), "--with", "test-waits", "-o", str(out)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PIPEBOUND_TEST_STARTED": str(tmp_path / "started")},
    )
    _wait_for_member(tmp_path / "started")
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    result = json.loads(out.read_text())
    assert result["status"] == "interrupted"
    assert result["dual_bound_ticks"] is not None
    assert result["stage_of"] is not None


def test_a_contradiction_is_loud(pipebound_process: Run, graph_file: Path) -> None:
    done = pipebound_process("solve", graph_file, "-k", "3", "--plugin", FAULTY, "--with", "test-lies")
    assert done.returncode == 1
    assert "CONTRADICTION" in done.stdout


def test_faults_are_named_in_the_output(pipebound_process: Run, graph_file: Path) -> None:
    done = pipebound_process("solve", graph_file, "-k", "3", "--plugin", FAULTY, "--with", "test-raises")
    assert done.returncode == 0, done.stderr
    assert "RuntimeError: as planned" in " ".join(done.stdout.split())


def test_a_script_without_a_main_guard_can_solve(graph_file: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from framework.formats import read_graph\n"
        "from framework.portfolio.settings import Settings\n"
        "from framework.portfolio.solve import solve\n"
        f"print(solve(read_graph({str(graph_file)!r}), 3, settings=Settings(budget=20)).status)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "optimal\n", done.stderr

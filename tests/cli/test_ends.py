"""How commands end before their time: signals while they begin, mistakes in the last of several runs, closed pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from framework.signals import SIGNALS
from tests.cli.conftest import Run, graph_file
from tests.conftest import REPOSITORY

__all__ = ["graph_file"]

FAULTY = REPOSITORY / "tests" / "plugins" / "faulty.py"
SLOW_PLUGIN = """
import os, pathlib, time
pathlib.Path(os.environ["PIPEBOUND_TEST_STARTED"]).touch()
time.sleep(120)
"""


def start(folder: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "framework", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PIPEBOUND_TEST_STARTED": str(folder / "started")},
        start_new_session=True,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.01)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", ["solve", "compare", "recommend", "check"])
def test_a_signal_while_a_command_begins_is_one_line(
    graph_file: Path, tmp_path: Path, command: str, number: signal.Signals
) -> None:
    plugin = tmp_path / "slow.py"
    plugin.write_text(SLOW_PLUGIN)
    subject = {"compare": [str(graph_file), "simple"], "check": ["simple"]}.get(command, [str(graph_file)])
    stages = [] if command == "check" else ["-k", "2"]
    process = start(tmp_path, command, *subject, *stages, "--plugin", plugin)
    wait_for(tmp_path / "started")
    # The whole group, as a terminal does it.
    os.killpg(process.pid, number)
    # Ends once nobody holds the pipes any more: no process is left behind.
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (130, "", "pipebound: interrupted\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_the_whole_group_keeps_what_was_proved(
    graph_file: Path, tmp_path: Path, number: signal.Signals
) -> None:
    out = tmp_path / "result.json"
    waits = ["--plugin", str(FAULTY), "--with", "test-waits", "--budget", "100s"]
    process = start(tmp_path, "solve", graph_file, "-k", "3", *waits, "-o", out)
    wait_for(tmp_path / "started")
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    result = json.loads(out.read_text())
    assert result["status"] == "interrupted"
    assert result["faults"] == []


def test_a_start_that_does_not_fit_a_later_run_is_refused_before_the_first(
    pipebound: Run, graph_file: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first.json"
    assert pipebound("solve", graph_file, "-k", "3", "-o", first).returncode == 0
    out = tmp_path / "out.json"
    done = pipebound("solve", graph_file, "-k", "3", "-k", "2", "--start", first, "-o", out)
    assert done.returncode == 2
    assert "has 3 stages, not 2" in done.stderr
    assert not list(tmp_path.glob("out*"))


def test_a_mistake_in_a_later_run_is_refused_before_the_first(pipebound: Run, graph_file: Path) -> None:
    node = json.loads(graph_file.read_text())["nodes"][0]["name"]
    runs: list[list[str | Path]] = [
        ["solve", graph_file, "-k", "3", "-k", "2", "--pin", f"{node}=2"],
        ["solve", graph_file, "-k", "3", "-k", "0"],
        ["compare", graph_file, "simple", "bisection:over=nothing", "no-such-entry", "-k", "2"],
        ["recommend", graph_file, "-k", "2..70000"],
    ]
    for arguments in runs:
        done = pipebound(*arguments, "--budget", "100s")
        assert done.returncode == 2, arguments
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1, done.stderr


@pytest.mark.parametrize("option", ["-o", "--plot"])
def test_what_cannot_be_written_is_refused_before_the_run(
    pipebound_process: Run, graph_file: Path, tmp_path: Path, option: str
) -> None:
    arguments = ["solve", graph_file, "-k", "2", "--with", "test-waits", "--plugin", FAULTY, "--budget", "100s"]
    done = pipebound_process(*arguments, option, tmp_path / "absent" / "out.svg")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no such folder" in done.stderr
    (tmp_path / "out.svg").mkdir()
    done = pipebound_process(*arguments, option, tmp_path / "out.svg")
    assert done.returncode == 2
    assert "this is a folder" in done.stderr


@pytest.mark.parametrize("redirection", ["| true", ">&-", "<&-", "2>&-", ">&- 2>&- <&-", "> /dev/full"])
def test_closed_streams_make_no_traceback(graph_file: Path, redirection: str) -> None:
    command = f"'{sys.executable}' -m framework solve '{graph_file}' -k 2 --with simple"
    done = subprocess.run(
        ["sh", "-c", f"{command} {redirection}"], capture_output=True, text=True, timeout=120, check=False
    )
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1

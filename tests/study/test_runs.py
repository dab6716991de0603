"""Whole studies as a user runs them: resumed after every kind of end, nothing done twice, nothing lost."""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.formats import read_graph
from framework.proof.check import replay
from framework.proof.log import read_log
from tests.cli.conftest import Run, pipebound
from tests.study.conftest import WriteSpec

__all__ = ["pipebound"]

PLUGIN = str(Path(__file__).parent.parent / "plugins" / "study_entries.py")
MARK = "PIPEBOUND_TEST_MARK"


class Command:
    """``pipebound study`` with a mark that all its processes carry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = uuid.uuid4().hex
        self.environment = {**os.environ, MARK: self.mark}

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "framework", "study", *map(str, arguments)]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment,
            start_new_session=True,
        )

    def __call__(self, *arguments: str | Path, code: int = 0) -> str:
        with self.start(*arguments) as process:
            output, errors = process.communicate(timeout=240)
        assert process.returncode == code, errors
        assert "Traceback" not in errors
        return output if code == 0 else errors

    def processes(self) -> list[int]:
        """Every process of this test that lives, by its mark."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                alive = self.mark.encode() in (folder / "environ").read_bytes()
                zombie = (folder / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
            except OSError:
                continue
            if alive and not zombie:
                found.append(int(folder.name))
        return found


@pytest.fixture
def study(tmp_path: Path) -> Iterator[Command]:
    command = Command(tmp_path)
    yield command
    for pid in command.processes():
        os.kill(pid, signal.SIGKILL)


def rows(spec: Path, query: str = "SELECT key, id, finished_at FROM runs") -> list[tuple[Any, ...]]:
    store = spec.with_suffix(".sqlite")
    if not store.exists():
        return []
    connection = sqlite3.connect(f"file:{store}?mode=ro", uri=True)
    try:
        return connection.execute(query).fetchall()
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def wait_for(what: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def slow(count: int, seconds: float = 0.3) -> list[str]:
    return [f"test-takes:seconds={seconds},tag={i}" for i in range(count)]


def test_runs_write_their_proofs(write_spec: WriteSpec, tmp_path: Path) -> None:
    spec, proofs = write_spec(entries=["ideal-dp"], stages=[2]), tmp_path / "logs" / "all"
    Command(tmp_path)("run", spec, "--jobs", "1", "--no-warm", "--proofs", proofs)
    logs = [read_log(path) for path in sorted(proofs.glob("*.proof.json.xz"))]
    graphs = [read_graph(path) for path in sorted(tmp_path.glob("braid-*.graph.json"))]
    assert len(logs) == len(graphs) > 1
    for log, graph in zip(logs, graphs, strict=True):
        assert replay(log, graph).optimal


def test_a_study_runs_once_and_is_reported_and_exported(study: Command, write_spec: WriteSpec, tmp_path: Path) -> None:
    spec = write_spec()
    first = json.loads(study("run", spec, "--no-warm", "--json"))
    assert (first["planned"], first["session"], first["failed"]) == (12, 12, 0)
    before = rows(spec)
    study("run", spec, "--no-warm")
    assert rows(spec) == before
    assert not study.processes()
    report = json.loads(study("report", spec, "--json", "--html", "page.html", "--latex", "table.tex"))
    assert report["contradictions"] == []
    assert [group["title"] for group in report["stages"]] == ["k = 2", "k = 3"]
    exact = next(row for row in report["all"][0]["entries"] if row["label"] == "ideal-dp")
    assert (exact["runs"], exact["ratio"], exact["proven"], exact["closing"]) == (6, 1.0, 1.0, "inf")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert r"\toprule" in (tmp_path / "table.tex").read_text()
    status = json.loads(study("status", spec, "--json"))
    assert (status["planned"], status["done"], status["running"], status["faults"]) == (12, 12, False, [])
    assert "ideal-dp" in study("report", spec)
    assert "ideal-dp" in study("status", spec.with_suffix(".sqlite"))
    study("export", spec, "runs.csv", "--results", "results")
    assert len((tmp_path / "runs.csv").read_text().splitlines()) == 13
    documents = [json.loads(path.read_text()) for path in (tmp_path / "results").glob("*.json")]
    assert len(documents) == 12
    assert {document["format"] for document in documents} == {"pipebound-result"}


def test_another_spec_adds_what_is_new_only(study: Command, write_spec: WriteSpec) -> None:
    spec = write_spec(stages=[2], entries=["ideal-dp"])
    study("run", spec, "--no-warm")
    before = rows(spec)
    spec = write_spec(stages=[2, 3], entries=["ideal-dp"])
    assert json.loads(study("run", spec, "--no-warm", "--json"))["session"] == 3
    assert set(before) < set(rows(spec))


def test_one_subset_of_a_spec_runs_alone(study: Command, write_spec: WriteSpec) -> None:
    spec = write_spec(subsets=["smoke", "regal-like"], stages=[2], entries=["simple"])
    facts = json.loads(study("run", spec, "--subset", "regal-like", "--dry-run", "--json"))
    assert facts == {"runs": 64, "left_out": 0, "core_seconds": 320.0}


def test_a_killed_parent_loses_nothing_repeats_nothing_and_leaves_nobody_behind(
    study: Command, write_spec: WriteSpec
) -> None:
    spec = write_spec(stages=[2], entries=slow(8), run={"plugins": [PLUGIN]})
    moments = random.Random(3)
    seen: set[tuple[Any, ...]] = set()
    for _ in range(4):
        process = study.start("run", spec, "--no-warm", "--jobs", "2")
        known = len(seen)
        wait_for(lambda known=known: len(rows(spec)) > known)  # type: ignore[misc]
        time.sleep(moments.uniform(0.0, 0.7))
        process.kill()
        process.communicate()
        wait_for(lambda: not study.processes(), 10.0)
        now = set(rows(spec))
        assert seen < now, "what had been saved is still there, as it was"
        seen = now
        assert rows(spec, "PRAGMA integrity_check") == [("ok",)]
    study("run", spec, "--no-warm", "--jobs", "2")
    final = rows(spec)
    assert seen <= set(final)
    assert len(final) == len({key for key, _, _ in final}) == 24
    assert rows(spec, "SELECT count(*) FROM plan JOIN runs USING (key) JOIN documents ON run_id = runs.id") == [(24,)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_ends_at_once_and_the_study_goes_on_later(
    study: Command, write_spec: WriteSpec, number: signal.Signals
) -> None:
    spec = write_spec(stages=[2], entries=slow(2, 0.2) + slow(1, 60.0), budgets=["70s"], run={"plugins": [PLUGIN]})
    with study.start("run", spec, "--no-warm", "--jobs", "1") as process:
        wait_for(lambda: len(rows(spec)) == 2)
        time.sleep(0.5)
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130, errors
    assert "goes on from here" in errors
    assert not study.processes()
    assert len(rows(spec)) == 2
    spec = write_spec(stages=[2], entries=slow(2, 0.2), budgets=["70s"], run={"plugins": [PLUGIN]})
    assert json.loads(study("run", spec, "--no-warm", "--json"))["session"] == 4


def test_a_killed_worker_costs_its_run_nothing(study: Command, write_spec: WriteSpec) -> None:
    spec = write_spec(stages=[2], entries=slow(3, 1.0), run={"plugins": [PLUGIN]})
    with study.start("run", spec, "--no-warm", "--jobs", "1", "--json") as process:
        wait_for(lambda: len(rows(spec)) == 2)
        hosts = [pid for pid in study.processes() if b"framework.study.host" in _command_line(pid)]
        os.kill(hosts[0], signal.SIGKILL)
        output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    progress = json.loads(output)
    assert (progress["done"], progress["failed"], progress["lost"]) == (9, 0, 1)
    assert sorted(rows(spec, "SELECT attempts, count(*) FROM runs GROUP BY attempts")) == [(1, 8), (2, 1)]


def test_a_run_that_kills_its_worker_every_time_is_recorded_as_failed(study: Command, write_spec: WriteSpec) -> None:
    spec = write_spec(
        graphs=["braid-0.graph.json"],
        stages=[2],
        entries=["test-kills-its-host", "ideal-dp"],
        run={"plugins": [PLUGIN], "attempts": 2},
    )
    progress = json.loads(study("run", spec, "--no-warm", "--json"))
    assert (progress["done"], progress["failed"], progress["lost"]) == (2, 1, 1)
    states = rows(spec, "SELECT state, attempts, error FROM runs ORDER BY state")
    assert states[0][:2] == ("done", 1)
    assert states[1][:2] == ("failed", 2)
    assert "SIGKILL" in states[1][2]
    assert json.loads(study("run", spec, "--no-warm", "--retry-failed", "--json"))["session"] == 1


def test_the_second_of_two_parents_is_refused(study: Command, write_spec: WriteSpec) -> None:
    spec = write_spec(stages=[2], entries=slow(1, 60.0), budgets=["70s"], run={"plugins": [PLUGIN]})
    with study.start("run", spec, "--no-warm") as process:
        wait_for(lambda: bool(rows(spec, "SELECT 1 FROM plan")))
        errors = study("run", spec, "--no-warm", code=2)
        assert f"process {process.pid} on " in errors
        assert len(errors.strip().splitlines()) == 1
        status = json.loads(study("status", spec, "--json"))
        assert status["running"]
        process.kill()


def test_a_graph_or_code_that_changes_after_planning_is_a_fault(write_spec: WriteSpec) -> None:
    from dataclasses import replace

    from framework.study.host import Host
    from framework.study.plan import make_plan
    from framework.study.spec import read_spec
    from framework.study.task import make_task

    plan = make_plan(read_spec(write_spec(entries=["slice-graph"])))
    task = make_task(plan.runs[0], plan.settings, plan.code)
    finished = Host().execute(replace(task, sha256="0" * 64))
    assert finished.document is None
    assert "has changed since the study was planned" in finished.error
    finished = Host().execute(replace(task, code="0.0.1+old"))
    assert finished.document is None
    assert "another version of the code" in finished.error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "absent.toml"], "absent.toml"),
        (["run", "SPEC", "--executor", "dask"], "needs a cluster"),
        (["run", "SPEC", "--jobs", "500"], "here are"),
        (["run", "SPEC", "--scheduler", "tcp://127.0.0.1:9", "--jobs", "1"], "--jobs is for this machine"),
        (["run", "SPEC", "--subset", "core"], "it names graphs only"),
        (["report", "SPEC"], "there is no such store"),
        (["status", "SPEC"], "there is no such store"),
        (["export", "SPEC"], "nothing to write"),
        (["export", "SPEC", "out.xlsx"], "cannot write a .xlsx"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    pipebound: Run, write_spec: WriteSpec, arguments: list[str], words: str
) -> None:
    spec = write_spec()
    done = pipebound("study", *[str(spec) if word == "SPEC" else word for word in arguments])
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_dry_run_says_what_would_run_and_writes_nothing(study: Command, write_spec: WriteSpec) -> None:
    spec = write_spec(stages=[2, 11])
    facts = json.loads(study("run", spec, "--dry-run", "--json"))
    assert facts == {"runs": 10, "left_out": 1, "core_seconds": 50.0}
    assert not spec.with_suffix(".sqlite").exists()


def test_the_report_follows_a_running_study(study: Command, write_spec: WriteSpec) -> None:
    spec = write_spec(stages=[2], entries=slow(3, 0.5), run={"plugins": [PLUGIN]})
    with study.start("run", spec, "--no-warm", "--jobs", "1") as process:
        wait_for(lambda: len(rows(spec)) > 0)
        output = study("report", spec, "--live", "--every", "0.2")
        process.communicate(timeout=60)
    lines = [line for line in output.splitlines() if " of 9 runs" in line]
    assert len(lines) > 2
    assert lines[-1].startswith("trial: 9 of 9 runs")
    assert "k = 2" in output


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""

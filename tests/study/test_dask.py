"""The dask executor on a local cluster of two worker processes, one of which is killed."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.errors import UserError
from framework.study.dask_executor import DaskExecutor, slurm_cluster
from tests.study.conftest import WriteSpec

PLUGIN = str(Path(__file__).parent.parent / "plugins" / "study_entries.py")
pytest.importorskip("distributed", reason="dask is not installed: pip install 'pipebound[dask]'")


class Cluster:
    """``dask scheduler`` and two ``dask worker`` processes, as on two machines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        scheduler_file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", scheduler_file)
        deadline = time.monotonic() + 60
        while not scheduler_file.exists() or not scheduler_file.read_text().strip():
            assert time.monotonic() < deadline, "the scheduler did not start"
            time.sleep(0.1)
        self.address = str(json.loads(scheduler_file.read_text())["address"])
        self.workers = [
            self._start("worker", self.address, "--nthreads", "1", "--no-dashboard", "--no-nanny", "--name", str(i))
            for i in range(2)
        ]

    def _start(self, *arguments: str | Path) -> subprocess.Popen[bytes]:
        with (self.folder / "dask.log").open("ab") as log:
            command = [sys.executable, "-m", "distributed.cli.dask_" + str(arguments[0]), *map(str, arguments[1:])]
            return subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True)

    def stop(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    folder = tmp_path / "dask"
    folder.mkdir()
    cluster = Cluster(folder)
    yield cluster
    cluster.stop()


def rows(spec: Path, query: str) -> list[tuple[Any, ...]]:
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


def test_a_study_on_two_workers_survives_the_loss_of_one(cluster: Cluster, write_spec: WriteSpec) -> None:
    entries = [f"test-takes:seconds=0.5,tag={i}" for i in range(4)]
    spec = write_spec(stages=[2], entries=entries, run={"plugins": [PLUGIN]})
    command = [sys.executable, "-m", "framework", "study", "run", str(spec), "--scheduler", cluster.address]
    process = subprocess.Popen(
        [*command, "--no-warm", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while len(rows(spec, "SELECT 1 FROM runs")) < 3:
        assert time.monotonic() < deadline, process.poll()
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    os.kill(cluster.workers[0].pid, signal.SIGKILL)
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    progress = json.loads(output)
    assert (progress["planned"], progress["done"], progress["failed"]) == (12, 12, 0)
    assert rows(spec, "SELECT count(*), count(DISTINCT key) FROM runs WHERE state = 'done'") == [(12, 12)]
    assert rows(spec, "SELECT count(*) FROM documents") == [(12,)]


def test_no_scheduler_is_said() -> None:
    with pytest.raises(UserError, match="no dask scheduler answers"):
        DaskExecutor(1, scheduler="tcp://127.0.0.1:9", patience=2.0)


def test_slurm_jobs_say_what_the_spec_says() -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install 'pipebound[dask]'")
    cluster = slurm_cluster(
        {"jobs": 0, "cores": 16, "processes": 1, "memory": "64GB", "queue": "batch", "walltime": "02:00:00"}
    )
    try:
        script = cluster.job_script()
        assert "#SBATCH -p batch" in script
        assert "#SBATCH --cpus-per-task=16" in script
        assert "#SBATCH -t 02:00:00" in script
        assert "--nthreads 16" in script
    finally:
        cluster.close()


def test_a_mistake_in_the_slurm_table_is_said() -> None:
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed: pip install 'pipebound[dask]'")
    with pytest.raises(UserError, match=r"\[slurm\]: cores is missing"):
        slurm_cluster({"jobs": 1, "memory": "64GB"})

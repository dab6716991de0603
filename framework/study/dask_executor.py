"""The executor of many machines: tasks go through a dask scheduler, answers come back to the one store.

Every thread of a dask worker keeps one host, the same process that the local executor uses, so that a run is the
same wherever it is executed. What dask does itself: place tasks, notice dead workers and start their tasks again.
"""

from __future__ import annotations

import math
import os
import queue
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from multiprocessing.connection import wait as wait_for
from typing import Any

from framework.errors import UserError
from framework.study.hosting import HostProcess
from framework.study.task import Finished, Task

_INSTALL = "install the extra: pip install 'pipebound[dask]'"
_local = threading.local()
_hosts: list[HostProcess] = []


def execute(task_json: str, warm: bool) -> str:
    """Execute one task in this thread's host; what a dask worker calls."""
    task = Task.from_json(task_json)
    host: HostProcess | None = getattr(_local, "host", None)
    if host is None:
        host = _local.host = HostProcess(task.workers, warm=warm)
        _hosts.append(host)
    while not host.ready:
        if (answer := _answer(host)) is not None:
            _local.host = None
            return replace(answer, key=task.key).to_json()
    host.give(task)
    while (answer := _answer(host)) is None:
        pass
    if answer.lost:
        _local.host = None
    return answer.to_json()


def end_hosts() -> None:
    """Kill every host of this dask worker; the threads that wait for them notice by themselves."""
    for host in _hosts:
        host.kill()
    _hosts.clear()


def _answer(host: HostProcess) -> Finished | None:
    if wait_for([host.descriptor], 1.0):
        return host.take()
    return host.fail("hung, and was ended") if host.overdue() else None


class DaskExecutor:
    """Sends tasks to the workers of a scheduler, as many at a time as they have threads.

    Parameters
    ----------
    workers
        Cores of one run; a dask worker of c cores should have c / workers threads.
    scheduler
        Address, ``tcp://host:port``; or None to start jobs with Slurm.
    slurm
        Arguments of `dask_jobqueue.SLURMCluster`, and ``jobs``, the number of jobs to keep.
    warm
        Whether hosts compile all kernels before their first run.
    patience
        Seconds to wait for the scheduler's answer.

    Raises
    ------
    UserError
        If dask is not installed, or there is no scheduler at the address.
    """

    def __init__(
        self,
        workers: int,
        *,
        scheduler: str | None = None,
        slurm: Mapping[str, Any] | None = None,
        warm: bool = True,
        patience: float = 20.0,
    ) -> None:
        distributed = _package("distributed")
        self._cluster: Any = None
        if scheduler is None:
            self._cluster = slurm_cluster(slurm or {})
            scheduler = self._cluster.scheduler_address
        try:
            self._client: Any = distributed.Client(scheduler, timeout=patience, set_as_default=False)
        except (OSError, ValueError) as error:
            raise UserError(
                f"no dask scheduler answers: {error}", where=scheduler, hint="start one with `dask scheduler`"
            ) from error
        self._warm = warm
        self._count, self._counted_at = 0, -math.inf
        self._tasks: dict[str, tuple[Task, Any]] = {}
        self._done: queue.SimpleQueue[str] = queue.SimpleQueue()

    @property
    def room(self) -> int:
        """Threads of all workers of this moment, less the tasks under way."""
        return max(0, self._threads() - len(self._tasks))

    @property
    def description(self) -> str:
        """Workers and threads."""
        return f"{self._threads()} at a time on the workers of {self._client.scheduler.address}"

    def submit(self, task: Task) -> None:
        """Hand a task to the scheduler."""
        # A key of its own for every attempt: dask would answer a second one from the first.
        future = self._client.submit(
            execute, task.to_json(), self._warm, pure=False, key=f"{task.key}-{os.urandom(4).hex()}"
        )
        self._tasks[task.key] = (task, future)
        future.add_done_callback(lambda future, key=task.key: self._done.put(key))

    def wait(self, timeout: float) -> list[Finished]:
        """Collect what has finished."""
        finished = []
        try:
            key = self._done.get(timeout=timeout)
            while True:
                if key in self._tasks:
                    finished.append(self._result(key))
                key = self._done.get_nowait()
        except queue.Empty:
            pass
        return finished

    def close(self) -> None:
        """Cancel what is under way and leave; workers that Slurm started for this study end."""
        self._client.cancel([future for _, future in self._tasks.values()], force=True)
        # A running task cannot be cancelled: its hosts are ended under it.
        if self._tasks:
            self._client.run(end_hosts)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _threads(self) -> int:
        if time.monotonic() > self._counted_at + 1.0:
            workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
            self._count = sum(int(worker["nthreads"]) for worker in workers)
            self._counted_at = time.monotonic()
        return self._count

    def _result(self, key: str) -> Finished:
        _, future = self._tasks.pop(key)
        if future.status == "finished":
            return Finished.from_json(future.result())
        why = future.exception() if future.status == "error" else future.status
        return Finished(key=key, error=f"dask: {why}", lost=True)


def slurm_cluster(arguments: Mapping[str, Any]) -> Any:
    """Return a `dask_jobqueue.SLURMCluster` that keeps ``jobs`` jobs.

    Raises
    ------
    UserError
        If dask-jobqueue is not installed, or refuses the arguments.
    """
    jobqueue = _package("dask_jobqueue")
    given = dict(arguments)
    jobs = given.pop("jobs", 1)
    configured = _package("dask.config").get("jobqueue.slurm", {})
    for name in ("cores", "memory"):
        if not given.get(name) and not configured.get(name):
            raise UserError(
                f"{name} is missing", where="[slurm]", hint='say what one job has: cores = 16, memory = "64GB"'
            )
    try:
        cluster = jobqueue.SLURMCluster(**given)
        cluster.scale(jobs=jobs)
    except (TypeError, ValueError, OSError) as error:
        raise UserError(str(error), where="[slurm]", hint="see dask_jobqueue.SLURMCluster for the keys") from error
    return cluster


def _package(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise UserError(f"{name} is not installed", hint=_INSTALL) from error

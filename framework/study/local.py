"""Runs a study on one machine: a pool of worker processes, as many as fit its cores."""

from __future__ import annotations

import time
from multiprocessing.connection import wait

from framework.errors import UserError
from framework.study.code_version import usable_cores
from framework.study.hosting import HostProcess
from framework.study.task import Finished, Task
from framework.wording import choose, counted


class LocalExecutor:
    """Hosts on this machine; a lost one is replaced.

    Parameters
    ----------
    workers
        Cores of one run.
    hosts
        Runs at a time; as many as fit the cores by default.
    warm
        Whether hosts compile all kernels before their first run.

    Raises
    ------
    UserError
        If `hosts` times `workers` is more than the cores that this process may use.
    """

    def __init__(self, workers: int, hosts: int | None = None, *, warm: bool = True) -> None:
        cores = usable_cores()
        self._threads, self._warm = workers, warm
        count = max(1, cores // workers) if hosts is None else hosts
        if count * workers > cores:
            raise UserError(
                f"{counted(count, 'run')} at a time with {counted(workers, 'worker')} each "
                f"{choose(count, 'needs', 'need')} {counted(count * workers, 'core')}; "
                f"here {choose(cores, 'is', 'are')} {cores}",
                hint="lower `jobs`, or the workers under [run]",
            )
        self._hosts = [HostProcess(workers, warm=warm) for _ in range(count)]
        self._deaths_at_start = 0

    @property
    def room(self) -> int:
        """Number of hosts without a task."""
        return sum(host.task is None and host.ready for host in self._hosts)

    @property
    def description(self) -> str:
        """Hosts and cores."""
        return f"{len(self._hosts)} at a time on this machine, {self._threads} core{'s' * (self._threads > 1)} each"

    def submit(self, task: Task) -> None:
        """Give a task to a free host."""
        next(host for host in self._hosts if host.task is None and host.ready).give(task)

    def wait(self, timeout: float) -> list[Finished]:
        """Collect answers; end hosts that hang, replace those that died."""
        finished = []
        readable = set(wait([host.descriptor for host in self._hosts], timeout))
        for i, host in enumerate(self._hosts):
            answer = host.take() if host.descriptor in readable else None
            if answer is None and host.overdue():
                answer = host.fail(f"hung: gave no answer in {time.monotonic() - host.started:.0f} s, and was ended")
            if answer is None:
                continue
            if answer.lost:
                self._replace(i, host, answer)
            if answer.key:
                finished.append(answer)
        return finished

    def close(self) -> None:
        """End all hosts."""
        for host in self._hosts:
            host.end()

    def _replace(self, i: int, host: HostProcess, answer: Finished) -> None:
        self._deaths_at_start = 0 if host.ready else self._deaths_at_start + 1
        if self._deaths_at_start > 3:
            raise UserError(f"workers do not start: {answer.error}")
        self._hosts[i] = HostProcess(self._threads, warm=self._warm)

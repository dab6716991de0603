"""Processes that are connected by `torch.distributed`, one for each stage, and what they can be asked to do.

The connection is made through a file, on the loopback interface: no port has to be free, and no network is needed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from framework.deploy.torch.stage_process import Order, serve
from framework.errors import UserError
from framework.portfolio.processes.fork_server import without_main_module
from framework.registry import loaded_files
from framework.signals import held

START_SECONDS, STALL_SECONDS = 300.0, 120.0


@dataclass(slots=True)
class World:
    """So many processes; close it after use.

    Parameters
    ----------
    size
        Number of processes.
    where
        What they work for, for errors.
    affinity
        Whether each has a core of its own, where there are enough.
    """

    size: int
    where: str
    affinity: bool = True
    _processes: list[Any] = field(default_factory=list)
    _pipes: list[Any] = field(default_factory=list)
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> World:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def ask(self, orders: list[Order], patience: float = STALL_SECONDS) -> list[Any]:
        """Give each process an order, and return their answers; those beyond the last order have nothing to do.

        Raises
        ------
        UserError
            If a process fails, ends, or does not answer in time.
        """
        for pipe, order in zip(self._pipes, orders, strict=False):
            # One that has ended is told apart from the others when answers are gathered.
            with contextlib.suppress(BrokenPipeError):
                pipe.send(order)
        return self._gather(len(orders), patience)

    def close(self) -> None:
        """End all processes."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
            pipe.close()
        deadline = time.monotonic() + 2.0
        for process in self._processes:
            process.join(timeout=max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        if self._folder is not None:
            self._folder.cleanup()
        self._pipes, self._processes, self._folder = [], [], None

    def _start(self) -> None:
        # Not fork: torch may have started threads.
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory(prefix="pipebound-")
        cores = sorted(os.sched_getaffinity(0))
        own = self.affinity and self.size <= len(cores)
        for rank in range(self.size):
            ours, theirs = context.Pipe()
            meeting = str(Path(self._folder.name) / "meeting")
            arguments = (rank, self.size, meeting, cores[rank] if own else None, theirs, loaded_files())
            process = context.Process(target=serve, args=arguments, daemon=True)
            with held(), without_main_module():
                process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._gather(self.size, START_SECONDS)

    def _gather(self, count: int, patience: float) -> list[Any]:
        """Return one answer of every process; end with the first error, whoever has it: the others may wait for it."""
        answers: dict[int, Any] = {}
        deadline = time.monotonic() + patience
        while len(answers) < count:
            waiting = {self._pipes[i]: i for i in range(count) if i not in answers}
            ended = {self._processes[i].sentinel: i for i in range(count) if i not in answers}
            ready = wait([*waiting, *ended], timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                raise UserError("the pipeline has stalled", where=self.where)
            for item in ready:
                place = waiting.get(item, ended.get(item))
                assert place is not None
                if place not in answers:
                    answers[place] = self._receive(place)
        return [answers[i] for i in range(count)]

    def _receive(self, rank: int) -> Any:
        try:
            answer = self._pipes[rank].recv()
        except (EOFError, ConnectionResetError):
            self._processes[rank].join(timeout=1.0)
            code = self._processes[rank].exitcode
            raise UserError(f"the process of stage {rank} ended with {code}", where=self.where) from None
        if isinstance(answer, str):
            raise UserError(f"stage {rank} fails: {answer}", where=self.where)
        return answer

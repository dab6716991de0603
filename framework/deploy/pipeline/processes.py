"""Processes that work for a pipeline, each at the other end of a pipe: they start, answer orders, and end, together."""

from __future__ import annotations

import contextlib
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import Any, Self

from framework.errors import UserError
from framework.portfolio.processes.fork_server import without_main_module
from framework.signals import held

END_SECONDS = 2.0


@dataclass(slots=True)
class Processes(ABC):
    """Processes that answer what they are asked with anything but a text, which is an error; close them after use."""

    _processes: list[Any] = field(default_factory=list, init=False)
    _pipes: list[Any] = field(default_factory=list, init=False)

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End all processes."""
        for pipe in self._pipes:
            with contextlib.suppress(OSError):
                pipe.send(None)
            pipe.close()
        deadline = time.monotonic() + END_SECONDS
        for process in self._processes:
            process.join(timeout=max(0.0, deadline - time.monotonic()))
            if process.is_alive():
                process.kill()
                process.join()
        self._pipes, self._processes = [], []

    @abstractmethod
    def _start(self) -> None:
        """Start all processes, each with `_launch`."""

    @abstractmethod
    def _where(self, position: int | None = None) -> str:
        """Return what a process works for, or all of them, for errors."""

    def _launch(self, context: Any, target: Any, *arguments: Any) -> None:
        """Start one process, which is given the arguments and its end of the pipe."""
        ours, theirs = context.Pipe()
        process = context.Process(target=target, args=(*arguments, theirs), daemon=True)
        with held(), without_main_module():
            process.start()
        theirs.close()
        self._pipes.append(ours)
        self._processes.append(process)

    def _ask(self, orders: Sequence[Any], patience: float) -> list[Any]:
        """Give each process an order, and return their answers; those beyond the last order have nothing to do."""
        for pipe, order in zip(self._pipes, orders, strict=False):
            # One that has ended is told apart from the others when answers are gathered.
            with contextlib.suppress(BrokenPipeError):
                pipe.send(order)
        return self._gather(len(orders), patience)

    def _gather(self, count: int, patience: float) -> list[Any]:
        """Return one answer of every process; end with the first error, whoever has it: the others may wait for it."""
        answers: dict[int, Any] = {}
        deadline = time.monotonic() + patience
        while len(answers) < count:
            waiting = {self._pipes[i]: i for i in range(count) if i not in answers}
            ended = {self._processes[i].sentinel: i for i in range(count) if i not in answers}
            ready = wait([*waiting, *ended], timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                raise UserError("the pipeline has stalled", where=self._where())
            for item in ready:
                place = waiting.get(item, ended.get(item))
                assert place is not None
                if place not in answers:
                    answers[place] = self._receive(place)
        return [answers[i] for i in range(count)]

    def _receive(self, position: int) -> Any:
        where = self._where(position)
        try:
            answer = self._pipes[position].recv()
        except (EOFError, ConnectionResetError):
            self._processes[position].join(timeout=1.0)
            code = self._processes[position].exitcode
            raise UserError(f"the stage's process ended with {code}", where=where) from None
        if isinstance(answer, str):
            raise UserError(f"the stage fails: {answer}", where=where)
        return answer

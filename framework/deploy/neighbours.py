"""Busy neighbours: processes that run the same model meanwhile, as the other stages of a pipeline do.

Cores share caches and the way to memory. A time measured while the others are idle is shorter than the same operator
takes in a pipeline, and not by the same factor everywhere: it is the operators with many weights that suffer.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from framework.errors import UserError
from framework.portfolio.processes.fork_server import without_main_module
from framework.signals import held
from framework.wording import choose, counted

_START_SECONDS = 300.0


@contextmanager
def busy_neighbours(
    count: int, load: Callable[[], Callable[[], object]], where: str, *, share_cores: bool = False
) -> Iterator[None]:
    """Keep `count` processes busy with a model, each on a core of its own; this process stays on the first core.

    Parameters
    ----------
    load
        Called in each process, so it must be picklable; what it returns runs the model once.
    where
        What runs, for errors.
    share_cores
        Whether processes may share cores where there are too few, as the stages of a pipeline do; none is then bound
        to one. Only CPU seconds mean something there.

    Raises
    ------
    UserError
        If there are not enough cores, or a neighbour does not start.
    """
    if not count:
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    enough = count < len(cores)
    if not enough and not share_cores:
        raise UserError(
            f"{counted(count, 'neighbour')} and the model itself need {count + 1} cores, of which there "
            f"{choose(len(cores), 'is', 'are')} {len(cores)}",
            hint="give fewer `neighbours`",
        )
    context = multiprocessing.get_context("spawn")
    pipes: list[Any] = []
    processes = []
    try:
        for core in cores[1 : count + 1] if enough else [None] * count:
            ours, theirs = context.Pipe()
            process = context.Process(target=_keep_busy, args=(load, core, theirs), daemon=True)
            with held(), without_main_module():
                process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            _await_start(pipe, where)
        if enough:
            os.sched_setaffinity(0, cores[:1])
        yield
    finally:
        os.sched_setaffinity(0, cores)
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(timeout=10.0)
            if process.is_alive():
                process.kill()
                process.join()


def _await_start(pipe: Any, where: str) -> None:
    try:
        started = pipe.poll(_START_SECONDS)
        if started:
            pipe.recv()
    except (EOFError, ConnectionResetError):
        started = False
    if not started:
        raise UserError("a neighbour does not start", where=where)


def _keep_busy(load: Callable[[], Callable[[], object]], core: int | None, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if core is not None:
        os.sched_setaffinity(0, {core})
    run = load()
    run()
    pipe.send(None)
    # The other end closing makes the pipe readable.
    while not pipe.poll(0):
        run()

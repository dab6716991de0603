"""Busy neighbours: processes that run the same model meanwhile, as the other stages of a pipeline do.

Cores share caches and the way to memory. A time measured while the others are idle is shorter than the same operator
takes in a pipeline, and not by the same factor everywhere: it is the operators with many weights that suffer.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

from framework.deploy.runnable import Runnable
from framework.deploy.runtime import Feed, Optimization, open_session, run_session
from framework.errors import UserError
from framework.portfolio.processes.fork_server import without_main_module
from framework.signals import held
from framework.wording import choose, counted

_START_SECONDS = 300.0


@contextmanager
def busy_neighbours(count: int, model: Runnable, feed: Feed, optimization: Optimization) -> Iterator[None]:
    """Keep `count` processes busy with a model, each on a core of its own; this process stays on the first core.

    Raises
    ------
    UserError
        If there are not enough cores, or a neighbour does not start.
    """
    if not count:
        yield
        return
    cores = sorted(os.sched_getaffinity(0))
    if count >= len(cores):
        raise UserError(
            f"{counted(count, 'neighbour')} and the model itself need {count + 1} cores, of which there "
            f"{choose(len(cores), 'is', 'are')} {len(cores)}",
            hint="give fewer `neighbours`",
        )
    context = multiprocessing.get_context("spawn")
    pipes: list[Any] = []
    processes = []
    try:
        for core in cores[1 : count + 1]:
            ours, theirs = context.Pipe()
            process = context.Process(target=_keep_busy, args=(model, feed, optimization, core, theirs), daemon=True)
            with held(), without_main_module():
                process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            if not pipe.poll(_START_SECONDS):
                raise UserError("a neighbour does not start", where=str(model.path))
            with suppress(EOFError):
                pipe.recv()
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


def _keep_busy(model: Runnable, feed: Feed, optimization: Optimization, core: int, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.sched_setaffinity(0, {core})
    session = open_session(model, optimization=optimization)
    run_session(session, feed, str(model.path))
    pipe.send(None)
    # The other end closing makes the pipe readable.
    while not pipe.poll(0):
        run_session(session, feed, str(model.path))

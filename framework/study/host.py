"""The process that executes runs of a study, one after the other: ``python -m framework.study.host``.

With ``--warm`` it compiles every kernel before it says that it is ready, so that no run's budget is spent on that.

It reads one task a line from standard input and writes one answer a line to standard output. It leads a process
group of its own; when its input ends, which it does however the parent ends, the whole group dies at once, members
and fork server included.
"""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from framework.errors import UserError
from framework.portfolio.processes.fork_server import process_context, start_fork_server, without_main_module
from framework.signals import held, leave_to_parent

if TYPE_CHECKING:
    from framework.model.graph import ModelGraph
    from framework.portfolio.result import Result
    from framework.study.task import Finished, Task

READY = "ready"
WARM = "--warm"
_KEPT_GRAPHS = 4


class Host:
    """Executes tasks; keeps the graphs it read last, and the digests of their instances."""

    def __init__(self) -> None:
        from framework.study.code_version import code_version, study_environment

        # Now, not later: this is the code that this process and its fork server have loaded.
        code_version()
        self._graphs: dict[tuple[object, ...], ModelGraph] = {}
        self._instances: dict[tuple[object, ...], str] = {}
        self._environment = study_environment()

    def execute(self, task: Task) -> Finished:
        """Run one task; whatever happens becomes an answer."""
        from framework.study.task import Finished

        try:
            return self._solve(task)
        except UserError as error:
            return Finished(key=task.key, error=str(error))
        except Exception as error:
            traceback.print_exc()
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{os.path.basename(last.filename)}:{last.lineno}"
            return Finished(key=task.key, error=f"{type(error).__name__}: {error} ({where})")

    def _solve(self, task: Task) -> Finished:
        from framework.fields import Fields
        from framework.model.device_chain import read_devices
        from framework.model.pricing import price
        from framework.model.training import Training
        from framework.portfolio.records import GraphInput
        from framework.portfolio.settings import Session, Settings
        from framework.portfolio.solve import solve
        from framework.records.start import recorded_partition
        from framework.study.code_version import code_version
        from framework.study.task import Finished

        if code_version(task.plugin_files) != task.code:
            raise UserError(
                f"this worker has another version of the code than {task.code}",
                hint="leave the code alone while a study runs, install the same everywhere, then `retry_failed`",
            )
        graph = self._read(task)
        device = None if task.device is None else read_devices(Fields(task.device, "the task", "device"))
        priced_as = (task.sha256, json.dumps(task.device, sort_keys=True))
        if priced_as not in self._instances:
            self._instances[priced_as] = price(graph, device).sha256()
        settings = Settings(
            device=device,
            entry=task.entry,
            budget=task.budget,
            gap=task.gap,
            seed=task.seed,
            workers=task.workers,
            memory_bytes=task.memory_bytes,
            presolve=task.presolve,
            plugin_files=task.plugin_files,
        )
        session = Session(
            # All of it is compiled before the host is ready, unless the user said --no-warm.
            on_compile=None,
            graph_input=GraphInput(
                path=task.path,
                format=task.format,
                dims=task.dims,
                training=Training() if task.training else None,
                drop_unused=task.drop_unused,
            ),
        )
        start = recorded_partition(graph, task.stages, Path(task.records)) if task.records else None
        result = solve(graph, task.stages, settings=settings, start=start, session=session)
        if task.proofs:
            _write_proof(result, graph, task)
        return Finished(
            key=task.key,
            document=result.as_dict(),
            instance=self._instances[priced_as],
            host=socket.gethostname(),
            environment=self._environment,
        )

    def _read(self, task: Task) -> ModelGraph:
        from framework.formats import read_graph
        from framework.input_files import reading_deadline
        from framework.portfolio.portfolio_file import load_entries

        # One of the files may hold the format.
        load_entries(task.plugin_files)
        place = (task.sha256, task.path, task.format, *sorted(task.dims.items()), task.training, task.drop_unused)
        if place not in self._graphs:
            graph = read_graph(
                task.path,
                format=task.format,
                dims=task.dims or None,
                training=task.training,
                drop_unused=task.drop_unused,
                deadline=reading_deadline(time.monotonic(), task.budget),
            )
            if graph.named_sha256() != task.sha256:
                raise UserError("the graph has changed since the study was planned", where=task.path)
            while len(self._graphs) >= _KEPT_GRAPHS:
                self._graphs.pop(next(iter(self._graphs)))
            self._graphs[place] = graph
        return self._graphs[place]


def _write_proof(result: Result, graph: ModelGraph, task: Task) -> None:
    """Write the log of a run, as a file without which the run counts all the same.

    There is none where no rule of logs covers what the run proved.
    """
    from framework.portfolio.logs.write import proof_of
    from framework.proof.log import write_log

    name = re.sub(r"[^\w.-]+", "_", graph.name).lstrip(".-")
    try:
        write_log(proof_of(result, graph), Path(task.proofs) / f"{name}-{task.key[:8]}.proof.json.xz")
    except UserError as error:
        print(f"{graph.name}, k = {task.stages}: {error}", file=sys.stderr)


def main() -> None:
    """Serve until the input ends."""
    # What the whole group is sent ends the study, and so this process; a run notes it meanwhile.
    leave_to_parent()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    start_fork_server()
    if WARM in sys.argv:
        # In a process of its own: this one stays small, and a compiler that crashes costs nothing.
        command = [sys.executable, "-m", "framework", "warm"]
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
    from framework.study.task import Task

    host = Host()
    _wait_for_fork_server()
    _say(answers, READY)
    while True:
        task = Task.from_json(lines.get())
        _say(answers, host.execute(task).to_json())


def _say(answers: TextIO, line: str) -> None:
    print(line, file=answers, flush=True)


def _listen(lines: queue.SimpleQueue[str]) -> None:
    for line in sys.stdin:
        lines.put(line)
    # Nobody is left to report to.
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _nothing() -> None:
    """The work of the process that shows that the fork server is ready."""


def _wait_for_fork_server() -> None:
    """The first run must not pay for the fork server's imports."""
    with held(), without_main_module():
        process = process_context().Process(target=_nothing, daemon=True)
        process.start()
    process.join()


if __name__ == "__main__":
    # The fork server's children look the target up by module name, which must not be "__main__".
    from framework.study.host import main as serve

    serve()

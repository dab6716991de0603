"""The parent's side of a host: start it, hand it a task, read its answer, end it with everything it started."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import framework
from framework.study.host import READY, WARM
from framework.study.task import Finished, Task

HARD_LIMIT = (1.5, 120.0)
"""A run that takes longer than this times its budget plus so many seconds has hung, and its host is ended."""
START_LIMIT = 1800.0
"""Seconds until a host must be ready; it may have to compile every kernel first."""

_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class HostProcess:
    """A host in a process group of its own.

    Parameters
    ----------
    threads
        Cores its runs may use; libraries that ask the environment are told.
    warm
        Whether it compiles all kernels before it is ready.
    """

    def __init__(self, threads: int, *, warm: bool) -> None:
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
        # Wherever the command was started, its hosts must find the same code.
        roots = [str(Path(framework.__file__).parent.parent), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(root for root in roots if root)
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "framework.study.host", *([WARM] if warm else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env=environment,
            start_new_session=True,
        )
        self._buffer = bytearray()
        self.started = time.monotonic()
        self.ready = False
        self.task: Task | None = None
        self._handed = 0.0

    @property
    def pid(self) -> int:
        """Process id, which is the id of its group too."""
        return self._process.pid

    @property
    def descriptor(self) -> int:
        """Becomes readable when there is an answer, or when the host has died."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def give(self, task: Task) -> None:
        """Hand a task over; a host that has died meanwhile is noticed by `take`."""
        assert self.task is None
        assert self._process.stdin is not None
        self.task, self._handed = task, time.monotonic()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(task.to_json().encode() + b"\n")
            self._process.stdin.flush()

    def take(self) -> Finished | None:
        """Read what has arrived (call when `descriptor` is readable); None while there is no whole answer."""
        data = os.read(self.descriptor, 1 << 20)
        if not data:
            return self.fail("the worker died")
        self._buffer += data
        if b"\n" not in data:
            return None
        line, _, rest = bytes(self._buffer).partition(b"\n")
        self._buffer = bytearray(rest)
        if not self.ready:
            self.ready = line.decode() == READY
            return None
        finished = Finished.from_json(line.decode())
        self.task = None
        return replace(finished, wall=time.monotonic() - self._handed)

    def overdue(self) -> bool:
        """Whether its run has hung."""
        if self.task is None:
            return not self.ready and time.monotonic() > self.started + START_LIMIT
        return time.monotonic() > self._handed + HARD_LIMIT[0] * self.task.budget + HARD_LIMIT[1]

    def fail(self, why: str) -> Finished:
        """End the host and return the answer it did not give."""
        words = self.end()
        code = self._process.returncode
        if code is not None and code < 0:
            why = f"{why} ({signal.Signals(-code).name})"
        key = "" if self.task is None else self.task.key
        wall = 0.0 if self.task is None else time.monotonic() - self._handed
        self.task = None
        return Finished(key=key, error=f"{why}: {words}" if words else why, lost=True, wall=wall)

    def kill(self) -> None:
        """Kill the host, its fork server and its members without waiting for their end."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> str:
        """Kill the host, its fork server and its members, reap it, and return the last line it said."""
        if self._words.closed:
            return ""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        with self._words:
            self._words.seek(0)
            lines = self._words.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

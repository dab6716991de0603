"""The runner's side of one member: start it, read it, end it, and say why it ended."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import DupFd
from typing import IO, Any

from framework.bounds import Reason, Termination
from framework.portfolio.processes import wire
from framework.portfolio.processes.fork_server import process_context, without_main_module
from framework.portfolio.processes.shared_state import SharedState
from framework.portfolio.processes.worker import Job, enter_process, run_job
from framework.signals import held


class MemberProcess:
    """A running member.

    Attributes
    ----------
    label
        Name of the member.
    inbox
        Its reports.
    started
        On the clock of `time.monotonic`.
    termination
        Why it ended; None while it runs or until `finish` has worked it out.
    """

    def __init__(self, label: str, job: Job, shared: SharedState) -> None:
        context = process_context()
        self.label = label
        self.job = job
        self.started = time.monotonic()
        self.termination: Termination | None = None
        self.details: dict[str, Any] = {}
        self.peak_bytes: int | None = None
        self._killed_because = ""
        # The member's own words (a C++ abort, a traceback) must not reach the terminal: kept for the fault.
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by finish()
        reader, writer = os.pipe()
        self.inbox = wire.Inbox(reader)
        self._process: BaseProcess = context.Process(
            target=_main, args=(job, shared, _Descriptor(writer), _Descriptor(self._words.fileno())), daemon=True
        )
        try:
            with held(), without_main_module():
                self._process.start()
        finally:
            os.close(writer)

    @property
    def pid(self) -> int | None:
        """Process id."""
        return self._process.pid

    @property
    def sentinel(self) -> int:
        """Descriptor that becomes readable when the process has ended."""
        return int(self._process.sentinel)

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    @property
    def was_terminated(self) -> bool:
        """Whether somebody ended the process with SIGTERM."""
        return self._process.exitcode == -signal.SIGTERM

    def resident_bytes(self) -> int:
        """Return the memory the process holds now; 0 where that is not known."""
        try:
            with open(f"/proc/{self.pid}/statm") as statm:
                return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 0

    def kill(self, because: str) -> None:
        """End the process at once; `because` becomes the detail of its termination."""
        self._killed_because = self._killed_because or because
        self._process.kill()

    def finish(self) -> list[wire.Report]:
        """Reap the ended process, return its last reports, and settle `termination`."""
        self._process.join(timeout=5.0)
        reports = self.inbox.receive()
        self.note_end(reports)
        if self.termination is None:
            self.termination = Termination(reason=Reason.FAULT, detail=self._describe_exit())
        os.close(self.inbox.descriptor)
        self._words.close()
        return reports

    def note_end(self, reports: list[wire.Report]) -> None:
        """Take termination and details from an end report, if there is one."""
        for report in reports:
            if isinstance(report, wire.EndReport):
                self.termination, self.details = report.termination, report.details
                self.peak_bytes = report.peak_bytes

    def _describe_exit(self) -> str:
        code = self._process.exitcode
        if self._killed_because:
            text = self._killed_because
        elif code is not None and code < 0:
            text = f"killed by {signal.Signals(-code).name}"
        else:
            text = f"exited with code {code}"
        self._words.seek(0)
        lines = self._words.read().decode(errors="replace").strip().splitlines()
        return f"{text}: {lines[-1][:200]}" if lines else text


class _Descriptor:
    """A file descriptor that survives the way through the fork server."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __reduce__(self) -> tuple[Any, ...]:
        return _detach, (DupFd(self.descriptor),)


def _detach(duplicate: Any) -> _Descriptor:
    return _Descriptor(duplicate.detach())


def _main(job: Job, shared: SharedState, pipe: _Descriptor, words: _Descriptor) -> None:
    enter_process(pipe.descriptor)
    os.dup2(words.descriptor, 1)
    os.dup2(words.descriptor, 2)
    run_job(job, shared, pipe.descriptor)
    # Threads of a solver that do not end must not keep the process: everything has been reported.
    os._exit(0)

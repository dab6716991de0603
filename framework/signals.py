"""Ending a command by a signal: Ctrl-C, SIGTERM (batch schedulers) and SIGHUP (a terminal that closes) alike.

A command line that nothing has begun yet ends at once, with one line and exit code 130 (`end_at_signals`); one that
has files or processes to clear away raises `Interrupted` (`unwinding`); a run that has proved something notes the
signal and keeps it (`Interrupt.watch`). Who sends a second signal half a second later or more does not want to wait.

This is imported before everything else, and so imports little itself.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType
    from typing import Any

EXIT_CODE = 130
"""Of an interrupted command, whichever signal it was."""
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_SECONDS = 0.5
"""Signals so close to the first one are the same one: `timeout` and closing terminals send theirs twice."""
_SHOW_CURSOR = "\x1b[?25h"

_watching: list[Interrupt] = []
_companions: dict[str, int] = {}


class Interrupted(BaseException):
    """A command is to end, and clears away on its way out. No `Exception`: nobody may take it for a failure."""


class _CommandLine:
    """What a signal does to a command that is not watching for signals itself."""

    def __init__(self) -> None:
        self.unwinds = 0
        self.done: int | None = None
        self._first: float | None = None

    def handle(self, signum: int, frame: FrameType | None) -> None:
        """Raise where something must be cleared away, the first time; else end at once."""
        now = time.monotonic()
        first, self._first = self._first, self._first or now
        if self.done is not None:
            os._exit(self.done)
        if any(interrupt.happened for interrupt in _watching) or not self.unwinds:
            _end_at_once()
        if first is None:
            raise Interrupted
        if now - first > SAME_SECONDS:
            _end_at_once()


_command_line = _CommandLine()


def end_at_signals() -> None:
    """Let signals end this process with one line and exit code 130, from now on; for command lines."""
    for number in SIGNALS:
        # Whoever ignores hang-ups, as nohup does, wants to go on after them.
        if number is not signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _command_line.handle)


def command_is_done(code: int) -> None:
    """Let a signal that comes while the process closes end it with the exit code of the command, which has ended."""
    _command_line.done = code
    _end_companions()


def ends_with_command(name: str, pid: int) -> None:
    """Have a child process killed when the command ends; while it imports packages it would not notice by itself."""
    _companions[name] = pid


@contextmanager
def unwinding() -> Iterator[None]:
    """Raise `Interrupted` at a signal instead of ending at once: there are files or processes to clear away."""
    _command_line.unwinds += 1
    try:
        yield
    finally:
        _command_line.unwinds -= 1


@contextmanager
def held(numbers: tuple[signal.Signals, ...] = (signal.SIGINT, signal.SIGHUP)) -> Iterator[None]:
    """Hold Ctrl-C and hang-ups back while a child process starts, and from the child for good.

    A terminal sends both to the whole process group. A child that imports its packages would answer with a traceback;
    its parent decides when it ends.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_to_parent() -> None:
    """Ignore the signals in this process, whose parent decides when it ends, and what was held back from it as well."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


class Interrupt:
    """Whether the user asked the run to end.

    Attributes
    ----------
    happened
        Polled by whoever runs something.
    """

    def __init__(self) -> None:
        self.happened = False
        self._begun = False
        self._noted: float | None = None
        self._before: dict[int, Any] = {}

    def begin(self) -> None:
        """There is something to keep from now on."""
        self._begun = True

    @contextmanager
    def watch(self, *, from_begin: bool = False) -> Iterator[Interrupt]:
        """Note the signals instead of raising; in any thread but the main one signals stay as they are.

        Watches may be nested; the inner one tells the outer ones. A second signal, later than `SAME_SECONDS`, does
        what it would have done without.

        Parameters
        ----------
        from_begin
            Whether signals do what they did before until `begin` is called, or this watched again without this.
        """
        import threading

        if not from_begin:
            self.begin()
        if threading.current_thread() is not threading.main_thread() or self in _watching:
            yield self
            return
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        _watching.append(self)
        try:
            for number, handler in self._before.items():
                if number is not signal.SIGHUP or handler is not signal.SIG_IGN:
                    signal.signal(number, self._note)
            yield self
        finally:
            for number, handler in self._before.items():
                # None: a handler that was not installed from Python, and cannot be put back.
                if handler is not None:
                    signal.signal(number, handler)
            _watching.remove(self)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self._begun or (self._noted is not None and now - self._noted > SAME_SECONDS):
            _pass_on(self._before[signum], signum, frame)
            return
        for interrupt in _watching:
            if interrupt._begun and interrupt._noted is None:
                interrupt.happened, interrupt._noted = True, now


def _pass_on(handler: Any, signum: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(signum, frame)
    elif handler == signal.SIG_DFL:
        signal.signal(signum, signal.SIG_DFL)
        os.kill(os.getpid(), signum)


def _end_at_once() -> None:
    """Say one line and end; nothing is flushed, and no other thread is waited for."""
    try:
        cursor = _SHOW_CURSOR if os.isatty(2) else ""
        os.write(2, f"{cursor}pipebound: interrupted\n".encode())
    except OSError:
        pass
    _end_companions()
    os._exit(EXIT_CODE)


def _end_companions() -> None:
    while _companions:
        try:
            os.kill(_companions.popitem()[1], signal.SIGKILL)
        except OSError:
            continue


def standard_streams() -> None:
    """Open the null device where standard input, output or error is closed, so that no file takes their numbers."""
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one: all below are open.
            os.open(os.devnull, os.O_RDWR)
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115 - for the life of the process
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115

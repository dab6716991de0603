"""Compiling what a run needs before its clock starts: once for each state of the sources, on all cores.

Every entry is run on small problems (`framework.portfolio.precompile`) in processes that fork from the same server as
members do. Which entries are compiled is noted beside the kernels (`framework.kernel_cache`). A process that dies costs
its entry only: what it uses is then compiled by the member itself, within its budget.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from framework import kernel_cache
from framework.contracts import Feature
from framework.errors import UserError
from framework.portfolio.members import Member
from framework.portfolio.precompile import REDUCTIONS, UNEQUAL
from framework.portfolio.processes.fork_server import process_context, without_main_module
from framework.registry import EntrySpec, Kind, registry
from framework.signals import held

MODE_VARIABLE = "PIPEBOUND_COMPILE"
NEVER = "never"
"""Value of the variable with which nothing is compiled before a run: members do it, within the budget."""
OWN_PACKAGES = ("formulations", "strategies")
"""Where the entries come from that are compiled beforehand; those of plugins need no kernels of this project."""
MOST_PROCESSES = 8
"""Each holds a few hundred megabytes while it compiles."""
_POLL_SECONDS = 0.1
_REDUCTIONS_RANK = 1
"""Compiled before all entries that register no rank of their own, after those that do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiling:
    """How far a compilation is.

    Attributes
    ----------
    done, total
        Entries that are compiled, and all there are to compile.
    names
        What is being compiled.
    seconds
        Since the beginning.
    words
        Something the user must know; empty as long as all is well.
    """

    done: int
    total: int
    names: tuple[str, ...]
    seconds: float
    words: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return not self.names


OnCompile = Callable[[Compiling], None]


def say_plainly(state: Compiling) -> None:
    """Write to standard error that something is compiled, and what is wrong with it, once in a process."""
    if state.words:
        _say_once(state.words)
    else:
        _say_once("compiling what is needed, once; that may take a minute or two, and is not part of the budget")


@cache
def _say_once(words: str) -> None:
    print(f"pipebound: {words}", file=sys.stderr, flush=True)


def all_names() -> tuple[str, ...]:
    """Return everything that can be compiled: the reductions of presolve and every entry of this project's own."""
    entries = (*registry.entries(Kind.FORMULATION), *registry.entries(Kind.STRATEGY))
    return _with_unequal([REDUCTIONS, *(entry.name for entry in entries if _own(entry.name))])


def _with_unequal(names: Iterable[str]) -> tuple[str, ...]:
    """Add what entries compile only where stages are unequal."""
    names = tuple(names)
    able = (name for name in names if name != REDUCTIONS and registry.get(name).supports(Feature.UNEQUAL))
    return (*names, *(name + UNEQUAL for name in able))


def compile_for(
    tell: OnCompile | None, *, unequal: bool = False
) -> Callable[[Sequence[Member], Sequence[Member], Callable[[], bool]], None]:
    """Return what a `framework.portfolio.runner.Runner` calls before members start; None to compile nothing.

    Parameters
    ----------
    unequal
        Whether the stages of the problem are unequal.
    """

    def needed(members: Sequence[Member]) -> tuple[str, ...]:
        names = names_for(members)
        return _with_unequal(names) if unequal else names

    def compile_now(now: Sequence[Member], soon: Sequence[Member], should_stop: Callable[[], bool]) -> None:
        if tell is None or os.environ.get(MODE_VARIABLE) == NEVER or all(map(kernel_cache.is_compiled, needed(now))):
            return
        compile_beforehand(needed([*now, *soon]), tell, should_stop)

    return compile_now


def names_for(members: Iterable[Member]) -> tuple[str, ...]:
    """Return what is to be compiled for members: their entries, and the entries that those drive.

    The member without an entry is presolve.
    """
    names: dict[str, None] = {}
    for member in members:
        if member.entry:
            _collect(member.entry, names)
        else:
            names[REDUCTIONS] = None
    return tuple(names)


def _collect(text: str, names: dict[str, None]) -> None:
    try:
        spec = EntrySpec.parse(text)
        entry = registry.get(spec.name)
        made = registry.create(spec)
    except UserError:
        # A value that is no entry.
        return
    if entry.kind is Kind.PORTFOLIO or spec.name in names:
        return
    if _own(spec.name):
        names[spec.name] = None
    for parameter in entry.parameters():
        value = getattr(made, parameter.name)
        for part in value if isinstance(value, tuple | list) else [value]:
            if isinstance(part, str):
                _collect(part, names)


def _own(name: str) -> bool:
    return registry.get(name).factory.__module__.partition(".")[0] in OWN_PACKAGES


def compile_beforehand(
    names: Iterable[str], tell: OnCompile, interrupted: Callable[[], bool] = lambda: False
) -> tuple[str, ...]:
    """Compile what is not compiled yet; return what failed.

    Where nothing can be kept it says so and compiles nothing: every process has to do it again.
    """
    missing = [name for name in names if not kernel_cache.is_compiled(name)]
    if not missing:
        return ()
    started = time.monotonic()
    if not kernel_cache.can_write():
        tell(Compiling(done=0, total=len(missing), names=(), seconds=0.0, words=_nowhere()))
        return ()
    tell(Compiling(done=0, total=len(missing), names=("start",), seconds=0.0))
    lock = _lock(len(missing), tell, interrupted, started)
    if lock is None:
        return ()
    try:
        # Another process may have compiled some of it meanwhile.
        missing = [name for name in missing if not kernel_cache.is_compiled(name)]
        return _Compilation(missing, tell, interrupted, started).run()
    finally:
        os.close(lock)


def _place(name: str) -> tuple[int, bool]:
    """Return a key that sorts what takes longest first: what others share with it is compiled by then."""
    if name == REDUCTIONS:
        return -_REDUCTIONS_RANK, False
    entry = registry.get(name.removesuffix(UNEQUAL))
    return -entry.compile_rank, entry.kind is Kind.STRATEGY


def _forerunner(name: str) -> str:
    """Return the entry whose kernels are mostly those of another one: side by side, both would compile them."""
    if name == REDUCTIONS:
        return ""
    entry = name.removesuffix(UNEQUAL)
    return registry.get(entry).compiled_after if entry == name else entry


def _nowhere() -> str:
    places = ", ".join(str(place) for place in kernel_cache.cache_places())
    chosen = os.environ.get(kernel_cache.VARIABLE) or os.environ.get(kernel_cache.NUMBA_VARIABLE) or places
    return (
        f"warning: compiled kernels cannot be kept ({chosen}: not writable), so each run compiles them again within "
        f"its budget; set {kernel_cache.VARIABLE} to a folder that can be written to"
    )


def _lock(total: int, tell: OnCompile, interrupted: Callable[[], bool], started: float) -> int | None:
    """Wait until no other process compiles; None if interrupted meanwhile."""
    while (lock := kernel_cache.hold_compiler_lock()) is None:
        if interrupted():
            return None
        time.sleep(_POLL_SECONDS)
        waited = time.monotonic() - started
        tell(Compiling(done=0, total=total, names=("waiting for another process",), seconds=waited))
    return lock


@dataclass(slots=True)
class _Compilation:
    """Hands names to processes, one at a time each."""

    waiting: list[str]
    tell: OnCompile
    interrupted: Callable[[], bool]
    started: float
    _workers: dict[Connection, BaseProcess] = field(default_factory=dict)
    _busy: dict[Connection, str] = field(default_factory=dict)
    _failed: list[str] = field(default_factory=list)
    _total: int = 0
    _done: int = 0

    def run(self) -> tuple[str, ...]:
        """Compile everything; return what failed."""
        self._total = len(self.waiting)
        self.waiting.sort(key=_place)
        try:
            while (self.waiting or self._busy) and not self.interrupted():
                self._hand_out()
                self._tell()
                for connection in wait(list(self._busy), timeout=_POLL_SECONDS):
                    assert isinstance(connection, Connection)
                    self._take(connection)
        finally:
            for connection, process in self._workers.items():
                process.kill()
                connection.close()
        self._busy = {}
        words = ""
        if self._failed:
            words = f"warning: could not compile beforehand for {', '.join(self._failed)}"
        self._tell(words)
        return tuple(self._failed)

    def _tell(self, words: str = "") -> None:
        self.tell(
            Compiling(
                done=self._done,
                total=self._total,
                names=tuple(self._busy.values()),
                seconds=time.monotonic() - self.started,
                words=words,
            )
        )

    def _hand_out(self) -> None:
        """Give work to every idle process, and start processes while there is work and a core for it."""
        while (name := self._next()) is not None:
            connection = next((one for one in self._workers if one not in self._busy), None)
            if connection is None:
                if len(self._workers) >= min(len(os.sched_getaffinity(0)), MOST_PROCESSES):
                    return
                connection = self._start()
            self.waiting.remove(name)
            self._busy[connection] = name
            with contextlib.suppress(OSError):
                connection.send(name)

    def _next(self) -> str | None:
        """Return the next name whose forerunner is not under way."""
        open_names = {*self.waiting, *self._busy.values()}
        return next((name for name in self.waiting if _forerunner(name) not in open_names), None)

    def _start(self) -> Connection:
        ours, theirs = process_context().Pipe()
        process = process_context().Process(target=_serve, args=(theirs,), daemon=True)
        with held(), without_main_module():
            process.start()
        theirs.close()
        self._workers[ours] = process
        return ours

    def _take(self, connection: Connection) -> None:
        """Take an answer, or notice that there will be none."""
        name = self._busy.pop(connection)
        try:
            connection.recv()
        except (EOFError, OSError):
            self._failed.append(name)
            self._workers.pop(connection).kill()
            connection.close()
            return
        self._done += 1
        kernel_cache.note_compiled(name)


def _serve(connection: Any) -> None:
    """Compile what is asked for until nobody asks any more."""
    from framework.portfolio.precompile import compile_one
    from framework.portfolio.processes.worker import enter_process
    from framework.registry import load_plugins

    enter_process(connection.fileno())
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    load_plugins()
    # A compiler makes many objects that stay: looking through all of them again and again takes a tenth of its time.
    gc.disable()
    while True:
        gc.collect()
        try:
            name = connection.recv()
        except EOFError:
            os._exit(0)
        # An entry that fails here has compiled what it could; why it fails will be said when it is run.
        with contextlib.suppress(Exception):
            compile_one(name)
        connection.send(name)

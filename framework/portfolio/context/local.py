"""Running one entry in this process: for notebooks, tests and nested strategies."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from framework.bounds import Certificate, Outcome, Soundness
from framework.contracts import Formulation, Strategy, run_and_report
from framework.model.problem import Partition, Problem
from framework.portfolio.context.board import Board
from framework.registry import registry


@dataclass(slots=True)
class LocalContext:
    """A `framework.contracts.Context` over a board of this process.

    Parameters
    ----------
    board
        Where reports go.
    source
        The name reports carry.
    seconds
        Time limit from now on; infinite by default.
    clock
        Tells these seconds: with `time.process_time`, a busy machine leaves an entry as much time as an idle one.
    """

    board: Board
    source: str
    seconds: float = math.inf
    seed: int = 0
    threads: int = 1
    cancelled: Callable[[], bool] = lambda: False
    messages: list[str] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    _started: float = field(init=False)

    def __post_init__(self) -> None:
        self._started = self.clock()

    @property
    def dual(self) -> int | None:
        """Best dual bound of the board, in ticks."""
        return self.board.interval.dual

    @property
    def incumbent(self) -> int | None:
        """Best incumbent value of the board, in ticks."""
        return self.board.interval.incumbent

    def best_partition(self) -> Partition | None:
        """Return the board's partition."""
        return None if self.board.incumbent is None else self.board.incumbent.partition

    def remaining(self) -> float:
        """Return the seconds left."""
        return max(0.0, self.seconds - (self.clock() - self._started))

    def should_stop(self) -> bool:
        """Whether the time is up, the run was cancelled, or the gap is closed."""
        return self.cancelled() or self.remaining() <= 0 or self.board.interval.closed

    def report_dual(self, value: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        """Record a lower bound."""
        self.board.report_dual(value, source=self.source, soundness=soundness, certificate=certificate)

    def report_partition(self, partition: Partition) -> None:
        """Record a partition."""
        self.board.report_partition(partition, source=self.source)

    def progress(self, message: str) -> None:
        """Keep the message."""
        self.messages.append(message)


def run_entry(
    entry: Formulation | Strategy,
    problem: Problem,
    *,
    name: str = "entry",
    seconds: float = math.inf,
    seed: int = 0,
    board: Board | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[Outcome, Board]:
    """Run a formulation or strategy in this process and return its outcome and the board it reported to.

    What the outcome holds is reported to the board as well, so the board always has everything. An entry that does not
    keep to hard limits is given the relaxation without them; the board knows them.

    Parameters
    ----------
    board
        Where to report; a new one by default.
    clock
        Tells the seconds of the limit, and those that a new board notes.
    """
    if board is None:
        started = clock()
        board = Board(problem, clock=lambda: clock() - started)
    context = LocalContext(board, name, seconds=seconds, seed=seed, clock=clock)
    posed = registry.problem_for(entry, problem)
    return run_and_report(entry, posed, context), board

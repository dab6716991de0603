"""Watching a run from Python: a live line, plain lines where there is no terminal, or a function of the caller."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from framework.model.exact import Rounding
from framework.portfolio.compilation import OnCompile, say_plainly
from framework.portfolio.context.board import Board
from framework.portfolio.settings import Watch, Watcher
from framework.report.console import open_console
from framework.report.live import live_display
from framework.report.numbers import percent, quantity, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes
    ----------
    title, stages
        The graph (and the entry, where several are compared), and the number of stages.
    seconds
        Since the run began, compilation left out.
    dual_bound, incumbent, relative_gap
        What is proved and found so far, in `unit`: rounded down and up, so that the optimum is between them; the gap is
        that of the integers behind them. None while unknown.
    source, words
        Who reported, and what they say of themselves; may be empty.
    """

    title: str
    stages: int
    seconds: float
    unit: str
    dual_bound: float | None
    incumbent: float | None
    relative_gap: float | None
    source: str
    words: str


ProgressLike: TypeAlias = bool | Callable[[Progress], None]
"""True to show a run while it lasts, or a function that is told of it."""


def watch_for(progress: ProgressLike, budget: float, rounding: Rounding) -> Watch:
    """Return what watches the runs of a call.

    Parameters
    ----------
    budget, rounding
        Of the runs.
    """
    if progress is False:
        return lambda title, stages: live_display(title, stages, budget, quiet=True)
    if progress is not True:
        return lambda title, stages: _told(progress, title, stages, rounding)
    console = open_console(stderr=True)
    if console.is_terminal and not console.is_jupyter:
        return lambda title, stages: live_display(title, stages, budget)
    return lambda title, stages: _told(_improvements(), title, stages, rounding)


@contextmanager
def _told(tell: Callable[[Progress], None], title: str, stages: int, rounding: Rounding) -> Iterator[Watcher]:
    yield _Teller(tell, title, stages, rounding)


class _Teller:
    """Tells a function of every report."""

    on_compile: OnCompile = staticmethod(say_plainly)

    def __init__(self, tell: Callable[[Progress], None], title: str, stages: int, rounding: Rounding) -> None:
        self._tell, self._title, self._stages, self._rounding = tell, title, stages, rounding

    def __call__(self, board: Board, label: str, words: str) -> None:
        """Take a report."""
        interval = board.interval
        dual = None if interval.dual is None else self._rounding.lower(interval.dual)
        incumbent = None if interval.incumbent is None else self._rounding.upper(interval.incumbent)
        self._tell(
            Progress(
                title=self._title,
                stages=self._stages,
                seconds=board.clock(),
                unit=board.problem.instance.unit,
                dual_bound=dual,
                incumbent=incumbent,
                relative_gap=interval.relative_gap,
                source=label,
                words=words,
            )
        )


def _improvements() -> Callable[[Progress], None]:
    """Return a function that writes a line to standard error whenever a side of the interval moves."""
    last: list[tuple[float | None, float | None]] = []

    def tell(state: Progress) -> None:
        sides = (state.dual_bound, state.incumbent)
        if last[-1:] == [sides]:
            return
        last[:] = [sides]
        low, high = map(quantity, sides)
        print(
            f"{state.title}, k = {state.stages}: {seconds(state.seconds)}, dual bound {low}, incumbent {high} "
            f"{state.unit}, gap {percent(state.relative_gap)} ({state.source})",
            file=sys.stderr,
            flush=True,
        )

    return tell

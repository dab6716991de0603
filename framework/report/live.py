"""The live display of a run: elapsed time, both bounds, the gap, and who moved them last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table

from framework.portfolio.board import Board
from framework.report.numbers import percent, quantity, scaled_unit, seconds

OnChange = Callable[[Board, str, str], None]


class _Display:
    """What the live display shows at any moment; rich asks it again several times a second."""

    def __init__(self, title: str, stages: int, budget: float) -> None:
        self.title, self.stages, self.budget = title, stages, budget
        self.started = time.monotonic()
        self.board: Board | None = None
        self.words: dict[str, str] = {}

    def take(self, board: Board, label: str, words: str) -> None:
        self.board = board
        if words:
            self.words[label] = words

    def __rich__(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=True, header_style="bold")
        for heading in ("graph", "k", "elapsed", "dual bound", "incumbent", "gap", "last word"):
            table.add_column(heading)
        dual = incumbent = gap = "-"
        if self.board is not None:
            instance, interval = self.board.problem.instance, self.board.interval
            best = 0 if interval.incumbent is None else interval.incumbent
            unit, factor = scaled_unit(instance.unit, instance.in_units(best))
            if interval.dual is not None and self.board.dual is not None:
                dual = f"{quantity(instance.in_units(interval.dual) * factor)} {unit} [dim]{self.board.dual.source}[/]"
            if interval.incumbent is not None and self.board.incumbent is not None:
                value = instance.in_units(interval.incumbent) * factor
                incumbent = f"{quantity(value)} {unit} [dim]{self.board.incumbent.source}[/]"
            gap = percent(interval.relative_gap)
        last = next(iter(reversed(self.words.items())), None)
        table.add_row(
            self.title,
            str(self.stages),
            f"{seconds(time.monotonic() - self.started)} / {seconds(self.budget)}",
            dual,
            incumbent,
            gap,
            "" if last is None else f"{last[0]}: {last[1]}",
        )
        return table


@contextmanager
def live_display(title: str, stages: int, budget: float, *, quiet: bool = False) -> Iterator[OnChange]:
    """Show a run on a terminal while it lasts; in a pipe, or when `quiet`, show nothing."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda board, label, words: None
        return
    display = _Display(title, stages, budget)
    with Live(display, console=console, refresh_per_second=8, transient=True):
        yield display.take

"""The live display of a run: elapsed time, both bounds, the gap, and who moved them last."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.live import Live
from rich.text import Text

from framework.portfolio.board import Board
from framework.report.console import open_console, styled
from framework.report.layout import FactTable
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

    def __rich__(self) -> FactTable:
        table = FactTable(framed=False)
        table.texts("graph")
        table.numbers("k", "elapsed", "dual bound")
        table.texts("by")
        table.numbers("incumbent")
        table.texts("by")
        table.numbers("gap")
        table.texts("last word")
        dual = incumbent = gap = "-"
        proved_by = found_by = Text()
        if self.board is not None:
            instance, interval = self.board.problem.instance, self.board.interval
            best = 0 if interval.incumbent is None else interval.incumbent
            unit, factor = scaled_unit(instance.unit, instance.in_units(best))
            if interval.dual is not None and self.board.dual is not None:
                dual = f"{quantity(instance.in_units(interval.dual) * factor)} {unit}"
                proved_by = styled(self.board.dual.source, "dim")
            if interval.incumbent is not None and self.board.incumbent is not None:
                incumbent = f"{quantity(instance.in_units(interval.incumbent) * factor)} {unit}"
                found_by = styled(self.board.incumbent.source, "dim")
            gap = percent(interval.relative_gap)
        last = next(iter(reversed(self.words.items())), None)
        table.row(
            self.title,
            str(self.stages),
            f"{seconds(time.monotonic() - self.started)} / {seconds(self.budget)}",
            dual,
            proved_by,
            incumbent,
            found_by,
            gap,
            "" if last is None else f"{last[0]}: {last[1]}",
        )
        return table


@contextmanager
def live_display(title: str, stages: int, budget: float, *, quiet: bool = False) -> Iterator[OnChange]:
    """Show a run on a terminal while it lasts; in a pipe, or when `quiet`, show nothing."""
    console = open_console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda board, label, words: None
        return
    display = _Display(title, stages, budget)
    with Live(display, console=console, refresh_per_second=8, transient=True):
        yield display.take

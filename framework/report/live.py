"""The live display of a run: elapsed time, both bounds, the gap, who moved them last; before it, what is compiled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table
from rich.text import Text

from framework.portfolio.compilation import Compiling, OnCompile, say_plainly
from framework.portfolio.context.board import Board
from framework.report.console import open_console, styled
from framework.report.layout import FactTable
from framework.report.numbers import percent, quantity, scaled_unit, seconds


def compiling_row(state: Compiling) -> Table:
    """Return the line that is shown while kernels are compiled."""
    from rich.progress_bar import ProgressBar

    row = Table.grid(padding=(0, 1))
    # Entries take very different times: what is being compiled counts half.
    done = state.done + 0.5 * min(len(state.names), state.total - state.done)
    row.add_row(
        "compiling, once, before the clock starts",
        ProgressBar(total=state.total, completed=done, width=24),
        f"{state.done}/{state.total}",
        seconds(state.seconds),
        Text(", ".join(state.names), style="dim"),
    )
    return row


class Quiet:
    """Shows nothing of a run, and one line about what is compiled before it."""

    on_compile: OnCompile = staticmethod(say_plainly)

    def __call__(self, board: Board, label: str, words: str) -> None:
        """Take a report."""


class Display:
    """What the live display shows at any moment; rich asks it again several times a second."""

    def __init__(self, title: str, stages: int, budget: float, console: Console) -> None:
        self.console = console
        self.compiling: Compiling | None = None
        self.compiled = 0
        self.waited = 0.0
        self.said: set[str] = set()
        self.title, self.stages, self.budget = title, stages, budget
        self.started = time.monotonic()
        self.board: Board | None = None
        self.words: dict[str, str] = {}

    def on_compile(self, state: Compiling) -> None:
        """Take how far a compilation is."""
        self.compiling = None if state.ended else state
        if state.ended:
            self.compiled += state.done
            self.waited += state.seconds
            if state.words and state.words not in self.said:
                self.said.add(state.words)
                self.console.print(state.words, markup=False, highlight=False)

    def say_what_was_compiled(self) -> None:
        """Say how long the run has waited for kernels, if it has."""
        if self.compiled:
            words = f"Kernels were compiled for {self.waited:.1f} s, once; that is not part of the budget."
            self.console.print(words, markup=False, highlight=False)

    def __call__(self, board: Board, label: str, words: str) -> None:
        """Take a report."""
        self.board = board
        if words:
            self.words[label] = words

    def __rich__(self) -> FactTable | Table:
        if self.compiling is not None:
            return compiling_row(self.compiling)
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
            best = interval.dual if interval.incumbent is None else interval.incumbent
            unit, factor = scaled_unit(instance.unit, instance.in_units(best or 0))
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
            f"{seconds(time.monotonic() - self.started - self.waited)} / {seconds(self.budget)}",
            dual,
            proved_by,
            incumbent,
            found_by,
            gap,
            "" if last is None else f"{last[0]}: {last[1]}",
        )
        return table


@contextmanager
def live_display(title: str, stages: int, budget: float, *, quiet: bool = False) -> Iterator[Quiet | Display]:
    """Show a run on a terminal while it lasts; in a pipe, or when `quiet`, show nothing."""
    console = open_console(stderr=True)
    if quiet or not console.is_terminal:
        yield Quiet()
        return
    from rich.live import Live

    display = Display(title, stages, budget, console)
    with Live(display, console=console, refresh_per_second=8, transient=True):
        yield display
    display.say_what_was_compiled()


@contextmanager
def compilation_display() -> Iterator[OnCompile]:
    """Show a compilation that no run waits for: a bar on a terminal, plain lines elsewhere."""
    console = open_console(stderr=True)
    if not console.is_terminal:
        yield say_plainly
        return
    from rich.live import Live

    with Live(console=console, refresh_per_second=8, transient=True) as live:

        def tell(state: Compiling) -> None:
            if state.words:
                console.print(state.words, markup=False, highlight=False)
            elif not state.ended:
                live.update(compiling_row(state))

        yield tell

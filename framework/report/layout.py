"""The one look of all tables in the terminal, at every width: numbers stay whole, names give way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.style import Style
from rich.table import Table
from rich.text import Text

from framework.report.console import styled
from framework.report.escape import terminal

Cell = str | Text

FAIR_TEXT = 22
"""Columns of text are folded to this before headings over numbers are."""
LEAST_TEXT = 10
"""And to this after that; a table that is still too wide becomes one block of lines a row."""


@dataclass(slots=True)
class _Column:
    heading: str
    is_number: bool
    most: int | None
    cells: list[Text] = field(default_factory=list)

    @property
    def natural(self) -> int:
        """Width at which nothing is folded, but for prose."""
        widest = max((cell.cell_len for cell in self.cells), default=0)
        return max(cell_len(self.heading), widest if self.most is None else min(widest, self.most))

    @property
    def least(self) -> int:
        """Width below which it may not go: that of its numbers, or what is left of text."""
        word = max((cell_len(word) for word in self.heading.split()), default=0)
        if self.is_number:
            return max(word, max((cell.cell_len for cell in self.cells), default=0))
        return max(word, min(self.natural, LEAST_TEXT))


class FactTable:
    """A table without a frame that fits every width.

    Where it is too wide, text folds, then headings over numbers, then columns move together; where that is not enough,
    each row becomes a block of lines, ``heading  value``. A number is never cut or folded.

    Parameters
    ----------
    title, caption
        A line above and below.
    framed
        Whether a rule and space set the headings off.
    """

    def __init__(self, title: str = "", *, caption: str = "", framed: bool = True, title_style: str = "italic") -> None:
        self.title = title
        self.caption = caption
        self._framed = framed
        self._title_style = title_style
        self._columns: list[_Column] = []
        self._rows: list[tuple[str | Style, bool]] = []

    def numbers(self, *headings: str) -> None:
        """Add columns that are set to the right and never folded."""
        self._columns += [_Column(terminal(heading), is_number=True, most=None) for heading in headings]

    def texts(self, *headings: str, most: int | None = None) -> None:
        """Add columns that fold where there is no room.

        Parameters
        ----------
        most
            Fold wider cells always: for prose.
        """
        self._columns += [_Column(terminal(heading), is_number=False, most=most) for heading in headings]

    def row(self, *cells: Cell, style: str | Style = "", end_section: bool = False) -> None:
        """Add a row; strings are shown as they are."""
        for column, cell in zip(self._columns, cells, strict=True):
            column.cells.append(styled(cell) if isinstance(cell, str) else cell)
        self._rows.append((style, end_section))

    def natural_width(self) -> int:
        """Return the width at which nothing is folded."""
        return sum(column.natural for column in self._columns) + self._spacing(tight=False)

    def _spacing(self, *, tight: bool) -> int:
        between = len(self._columns) - 1
        return between if tight else 2 * between + (2 if self._framed else 0)

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Tell rich how wide it may be."""
        return Measurement(1, self.natural_width()).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the table at the width there is."""
        if self.title:
            yield styled(self.title, self._title_style)
        for tight in (False, True):
            widths = self._widths(options.max_width - self._spacing(tight=tight))
            if widths is not None:
                yield self._table(widths, tight=tight)
                break
        else:
            yield from self._blocks(options.max_width)
        if self.caption:
            yield styled(self.caption, "dim")

    def _widths(self, room: int) -> list[int] | None:
        """Return the width of each column; None if there is no room for a table."""
        columns = self._columns
        widths = [column.natural for column in columns]
        if sum(widths) <= room:
            return widths
        least = [column.least for column in columns]
        if sum(least) > room:
            return None
        fair = [
            column.natural if column.is_number else max(low, min(column.natural, FAIR_TEXT))
            for column, low in zip(columns, least, strict=True)
        ]
        folded = [low if column.is_number else width for column, low, width in zip(columns, least, fair, strict=True)]
        for floor in (fair, folded, least):
            while sum(widths) > room and (able := [i for i, low in enumerate(floor) if widths[i] > low]):
                widths[max(able, key=lambda i: widths[i])] -= 1
        return widths

    def _table(self, widths: Sequence[int], *, tight: bool) -> Table:
        # A divider of the box is one space; without a box all space is padding.
        padding = (0 if tight else 1) + (0 if self._framed else 1)
        table = Table(
            box=box.SIMPLE_HEAD if self._framed else None,
            show_edge=not tight,
            pad_edge=False,
            padding=(0, padding, 0, 0),
            header_style="bold",
        )
        for column, width in zip(self._columns, widths, strict=True):
            table.add_column(
                Text(column.heading), justify="right" if column.is_number else "left", width=width, overflow="fold"
            )
        for i, (style, end_section) in enumerate(self._rows):
            table.add_row(*(column.cells[i] for column in self._columns), style=style, end_section=end_section)
        return table

    def _blocks(self, width: int) -> RenderResult:
        """Yield ``heading  value`` lines, a block a row."""
        headings = max((cell_len(column.heading) for column in self._columns), default=0)
        headings = max(1, min(headings, width // 2 - 2))
        for i, (style, _) in enumerate(self._rows):
            block = Table.grid(padding=(0, 2, 0, 0))
            block.add_column(width=headings, overflow="fold", style="bold")
            block.add_column(width=max(1, width - headings - 2), overflow="fold")
            for column in self._columns:
                block.add_row(Text(column.heading), column.cells[i], style=style)
            yield block
            yield Text()

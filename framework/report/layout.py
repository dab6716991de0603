"""The one look of all tables in the terminal: narrow, without a frame."""

from __future__ import annotations

from rich import box
from rich.table import Table


def plain_table(title: str) -> Table:
    """Return an empty table that leaves as much of a terminal's width as possible to its cells."""
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))

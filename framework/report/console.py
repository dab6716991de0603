"""The consoles that everything is printed on: text is shown as it is, and a pipe has no width."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console as Console
from rich.style import Style
from rich.text import Text

from framework.report.escape import terminal

PIPED_WIDTH = 10_000
"""Nobody looks at a pipe through a window: a line is as long as it is, a table as wide as its cells."""


HTML_WIDTH = 110
"""Columns of what a notebook shows."""
_FRAME = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace\">{code}</pre>"
)


class PlainConsole(Console):
    """A console without markup, emoji codes and highlighting, that shows control characters instead of sending them."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Make one line of text of a string."""
        return super().render_str(terminal(text), **options)


def open_console(*, stderr: bool = False, quiet: bool = False, width: int | None = None) -> Console:
    """Return the console of a stream.

    Parameters
    ----------
    width
        Columns; by default the terminal's, those of the variable ``COLUMNS``, or no limit in a pipe.
    """
    console = PlainConsole(stderr=stderr, quiet=quiet, width=width, markup=False, emoji=False, highlight=False)
    if width is None and not console.is_terminal and not os.environ.get("COLUMNS", "").isdigit():
        console.width = PIPED_WIDTH
    return console


def printed(show: Callable[[Console], None]) -> str:
    """Return what is printed, as wide as the terminal, without colours."""
    out = io.StringIO()
    width = open_console().width
    show(PlainConsole(file=out, width=width, markup=False, emoji=False, highlight=False))
    return out.getvalue().rstrip("\n")


def as_html(show: Callable[[Console], None]) -> str:
    """Return what is printed as HTML for a notebook, names escaped."""
    console = PlainConsole(
        file=io.StringIO(), record=True, width=HTML_WIDTH, markup=False, emoji=False, highlight=False
    )
    show(console)
    return console.export_html(inline_styles=True, code_format=_FRAME)


def styled(text: str, style: str | Style = "") -> Text:
    """Return a line of text in a style."""
    return Text(terminal(text), style=style)


@contextmanager
def status_line(title: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show what is being done while it lasts, on a terminal; nothing in a pipe."""
    console = open_console(stderr=True, quiet=quiet)
    with console.status(styled(title)) as status:
        yield lambda text: status.update(styled(f"{title}: {text}"))

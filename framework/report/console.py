"""The consoles that everything is printed on: text is shown as it is, and a pipe has no width."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.text import Text

from framework.report.escape import terminal

PIPED_WIDTH = 10_000
"""Nobody looks at a pipe through a window: a line is as long as it is, a table as wide as its cells."""


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


def styled(text: str, style: str | Style = "") -> Text:
    """Return a line of text in a style."""
    return Text(terminal(text), style=style)


@contextmanager
def status_line(title: str, *, quiet: bool = False) -> Iterator[Callable[[str], None]]:
    """Show what is being done while it lasts, on a terminal; nothing in a pipe."""
    console = open_console(stderr=True, quiet=quiet)
    with console.status(styled(title)) as status:
        yield lambda text: status.update(styled(f"{title}: {text}"))

"""What all figures share: text that is drawn as it stands, and files that are written whole."""

from __future__ import annotations

import io
import math
import textwrap
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.report.escape import mathtext, shortened

SUFFIXES = (".svg", ".png", ".pdf")
TYPE: Any = {
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "font.size": 9,
    "font.family": "sans-serif",
    # A user's own settings must not hand names of others to LaTeX.
    "text.usetex": False,
}
_TITLE_LINES = 3
_MOST_PIXELS = 6e6
_NOTEBOOK_DPI = 80


def check_suffix(path: Path) -> None:
    """Refuse a file name that no figure can be written to, before any work is done."""
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"cannot draw a {path.suffix or 'file without a suffix'}",
            where=str(path),
            hint=f"end the name in {', '.join(SUFFIXES)}",
        )


def title_text(text: str, columns: int) -> str:
    """Return a title as it stands, in lines of so many characters; of a very long one the middle is left out."""
    whole = shortened(mathtext(text), _TITLE_LINES * columns)
    return "\n".join(textwrap.wrap(whole, columns)) or " "


def new_figure(width: float, height: float, *, constrained: bool = True) -> Any:
    """Return an empty figure of a size in inches, which a notebook shows without pyplot."""
    return _figure_class()(figsize=(width, height), layout="constrained" if constrained else None)


@cache
def _figure_class() -> Any:
    from matplotlib.figure import Figure

    class NotebookFigure(Figure):
        def _repr_png_(self) -> bytes:
            data = io.BytesIO()
            self.savefig(data, format="png", dpi=_NOTEBOOK_DPI)
            return data.getvalue()

    return NotebookFigure


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    import matplotlib as mpl

    try:
        with mpl.rc_context(TYPE | {"svg.hashsalt": path.stem}), warnings.catch_warnings():
            # Names may be written in scripts that the font lacks; svg keeps them as text, the others show boxes.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            # Without a date the same figure is the same file.
            metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix, {})
            width, height = figure.get_size_inches()
            dpi = min(150.0, math.sqrt(_MOST_PIXELS / (width * height)))
            figure.savefig(path, metadata=metadata, dpi=dpi)
    except OSError as error:
        raise UserError(f"cannot write the figure: {error.strerror}", where=str(path)) from error

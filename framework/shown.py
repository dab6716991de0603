"""Values that show themselves: as a table where they are printed, as HTML in a notebook, as a figure, as data frames.

How they look is for `framework.report` to say, which stands above these values: it registers a `View` for each class.
Without one (``import pipebound`` registers all), a value is printed as its short ``repr``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from framework.errors import UserError


class View(Protocol):
    """How the values of a class look."""

    def text(self, value: Any) -> str:
        """Return what is printed."""

    def html(self, value: Any) -> str:
        """Return what a notebook shows."""

    def plot(self, value: Any, path: Path | None) -> Any:
        """Return a matplotlib figure, and write it to a file if one is named; a UserError where that is impossible."""

    def tables(self, value: Any) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return tables by name, each a list of rows; the first is the one that people mean."""


_views: dict[type, View] = {}


def register_view(shown: type, view: View) -> None:
    """Have values of a class shown by a view."""
    _views[shown] = view


class Shown:
    """Base of frozen dataclasses that show themselves."""

    __slots__ = ()

    def __str__(self) -> str:
        view = _views.get(type(self))
        return repr(self) if view is None else view.text(self)

    def _repr_html_(self) -> str | None:
        view = _views.get(type(self))
        return None if view is None else view.html(self)

    def plot(self, path: str | Path | None = None) -> Any:
        """Draw it.

        Parameters
        ----------
        path
            ``.svg``, ``.png`` or ``.pdf`` file to write the figure to.

        Returns
        -------
        The matplotlib figure, which a notebook shows.

        Raises
        ------
        UserError
            If there is nothing to draw, or the file cannot be written.
        """
        return self._view().plot(self, None if path is None else Path(path))

    def to_dataframe(self, table: str | None = None) -> Any:
        """Return one of its tables as a pandas data frame.

        Parameters
        ----------
        table
            Which; the first of them by default.

        Raises
        ------
        UserError
            If pandas is not installed, or there is no such table.
        """
        tables = self._view().tables(self)
        name = next(iter(tables)) if table is None else table
        if name not in tables:
            raise UserError(f"there is no table {name!r}", hint=f"the tables are {', '.join(tables)}")
        try:
            pd: Any = import_module("pandas")
        except ImportError as error:
            raise UserError("pandas is not installed", hint="pip install pandas, or read as_dict()") from error
        return pd.DataFrame.from_records(list(tables[name]))

    def _view(self) -> View:
        view = _views.get(type(self))
        if view is None:
            raise UserError("nothing says how this is shown", hint="import pipebound")
        return view

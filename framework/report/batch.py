"""One line a run, as soon as it has ended: what `solve` prints of several graphs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from framework.portfolio.result import Result
from framework.report.escape import terminal
from framework.report.numbers import percent, quantity, scaled_unit, seconds
from framework.report.tables import shown_gap, with_soundness

_HEADINGS = ("k", "status", "dual bound", "incumbent", "unit", "gap", "time")
_WIDTHS = (5, 12, 12, 12, 6, 9, 9)
"""Columns of what stands between the name of a graph and who proved and found it; nothing in them is longer."""


class Lines:
    """The lines of runs on several graphs, in columns.

    Parameters
    ----------
    graphs
        What the graphs are called, all of them: the first column is as wide as the longest.
    """

    def __init__(self, graphs: Sequence[str]) -> None:
        self._width = max(len(terminal(name)) for name in ("graph", *graphs))

    def heading(self) -> str:
        """Return the line above all others."""
        return self._line("graph", _HEADINGS, "bound by, found by")

    def of(self, graph: str, result: Result) -> str:
        """Return the line of a run."""
        unit, factor = scaled_unit(result.unit, result.incumbent or result.dual_bound or 0.0)
        dual, incumbent = result.dual_bound, result.incumbent
        by = with_soundness(result.bounds[0]) if result.bounds else "-"
        cells = (
            str(result.stages),
            result.status.replace("_", " "),
            quantity(None if dual is None or result.status == "infeasible" else dual * factor),
            quantity(None if incumbent is None else incumbent * factor),
            unit,
            percent(shown_gap(result)),
            seconds(result.seconds),
        )
        return self._line(terminal(graph), cells, terminal(f"{by}, {result.incumbent_source or '-'}"))

    def _line(self, name: str, cells: Sequence[str], sources: str) -> str:
        columns = [cell.rjust(width) for cell, width in zip(cells, _WIDTHS, strict=True)]
        return "  ".join([name.ljust(self._width), *columns, sources])


def json_line(document: dict[str, Any]) -> str:
    """Return a document on one line."""
    return json.dumps(document, separators=(",", ":"))

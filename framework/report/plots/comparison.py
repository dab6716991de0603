"""Entries side by side: for each, the interval between its dual bound and its partition, over the best partition."""

from __future__ import annotations

from typing import Any

from framework.portfolio.comparison import Comparison
from framework.report.escape import mathtext
from framework.report.plots.canvas import TYPE, new_figure, title_text

_BOUND, _FOUND = "#228833", "#4477aa"
_TITLE = 70


def comparison_figure(comparison: Comparison) -> Any:
    """Return a figure with one panel for each number of stages and one line for each entry."""
    import matplotlib as mpl

    numbers = list(dict.fromkeys(run.result.stages for run in comparison.runs))
    entries = list(dict.fromkeys(run.entry for run in comparison.runs))
    with mpl.rc_context(TYPE):
        figure = new_figure(3.0 + 3.0 * len(numbers), 1.6 + 0.3 * len(entries))
        panels = figure.subplots(1, len(numbers), sharey=True, squeeze=False)[0]
        for axes, k in zip(panels, numbers, strict=True):
            for run in comparison.runs:
                if run.result.stages != k:
                    continue
                y, low, above = entries.index(run.entry), run.run_ratio, run.above_best
                if low is not None and above is not None:
                    axes.plot([low, 1 + above], [y, y], color="#bbbbbb", linewidth=2, zorder=1)
                if low is not None:
                    axes.plot([low], [y], color=_BOUND, marker="|", markersize=11, markeredgewidth=2)
                if above is not None:
                    axes.plot([1 + above], [y], color=_FOUND, marker="o", markersize=5, linestyle="none")
            axes.axvline(1.0, color="#bbbbbb", linestyle=":", zorder=0)
            axes.set_title(f"k = {k}")
            axes.set_xlabel("over the best partition")
        panels[0].set_yticks(range(len(entries)), [mathtext(entry) for entry in entries])
        panels[0].invert_yaxis()
        figure.suptitle(title_text(f"{comparison.graph.name}: dual bound | and partition •", _TITLE), fontsize=10)
    return figure

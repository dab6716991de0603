"""Figures of one result: its stages with the bound across them, and both bounds over time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from framework.model.arrays import IntArray
from framework.portfolio.result import Result
from framework.report.escape import mathtext
from framework.report.numbers import percent, quantity, scaled_unit
from framework.report.plots.canvas import TYPE, check_suffix, new_figure, save_figure, title_text
from framework.report.tables import shown_gap

_PARTS = (
    ("work", "work", "#4477aa"),
    ("inbound", "in", "#66ccee"),
    ("outbound", "out", "#ccbb44"),
    ("overflow", "overflow", "#ee6677"),
)
_DUAL, _INCUMBENT = "#228833", "#aa3377"
_TITLE = 70
_MOST_LABELLED = 20


def draw_result(result: Result, path: Path) -> None:
    """Draw the stages with the dual bound across them, and both bounds over time.

    Parameters
    ----------
    result
        Must hold a partition.
    path
        ``.svg``, ``.png`` or ``.pdf``.
    """
    check_suffix(path)
    save_figure(result_figure(result), path)


def result_figure(result: Result) -> Any:
    """Return the figure that `draw_result` writes."""
    import matplotlib as mpl

    with mpl.rc_context(TYPE):
        figure = new_figure(11.0, 4.2)
        stages, trajectory = figure.subplots(1, 2)
        _draw_stages(stages, result)
        _draw_trajectory(trajectory, result)
    return figure


def _draw_stages(axes: Any, result: Result) -> None:
    rows = result.stage_costs
    unit, factor = scaled_unit(result.unit, result.incumbent or result.dual_bound or 0.0)
    base = np.zeros(len(rows))
    for part, label, colour in _PARTS:
        heights = np.array([getattr(row, part) * factor for row in rows])
        if heights.any():
            axes.bar(range(len(rows)), heights, bottom=base, label=label, color=colour, width=0.8)
            base += heights
    dual = result.dual_bound
    if dual is not None:
        label = f"dual bound {quantity(dual * factor)}"
        axes.axhline(dual * factor, color=_DUAL, linestyle="--", linewidth=1.4, label=label)
    _label_stages(axes, np.bincount(result.stage_of or (), minlength=len(rows)))
    axes.set_ylabel(f"cost [{mathtext(unit)}]")
    title = f"{result.graph.name}, k = {result.stages}: gap {percent(shown_gap(result))}"
    axes.set_title(title_text(title, _TITLE))
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.legend(loc="upper center", ncols=3, fontsize="small", frameon=False)


def _label_stages(axes: Any, sizes: IntArray) -> None:
    """Put whole numbers under the bars; where there is room also how many nodes each stage holds."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(-0.6, len(sizes) - 0.4)
    if len(sizes) <= _MOST_LABELLED:
        axes.set_xticks(range(len(sizes)), [f"{b}\n{size}" for b, size in enumerate(sizes.tolist())])
        axes.set_xlabel("stage, and its number of nodes")
    else:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("stage")


def _draw_trajectory(axes: Any, result: Result) -> None:
    unit, factor = scaled_unit(result.unit, result.incumbent or result.dual_bound or 0.0)
    points = result.trajectory
    times = [point.seconds for point in points] + [result.seconds]
    for side, label, colour in (("incumbent", "incumbent", _INCUMBENT), ("dual_bound", "dual bound", _DUAL)):
        values = [getattr(point, side) for point in points]
        heights = [float("nan") if value is None else value * factor for value in [*values, values[-1]]]
        axes.step(times, heights, where="post", label=label, color=colour, marker="o", markersize=3)
    axes.set_xlim(0, 1.02 * max(times[-1], 1e-3))
    axes.set_xlabel("seconds")
    axes.set_ylabel(f"bottleneck [{mathtext(unit)}]")
    axes.set_title(f"{result.status.replace('_', ' ')} after {result.seconds:.2f} s")
    axes.set_ylim(top=axes.get_ylim()[1] + 0.15 * (axes.get_ylim()[1] - axes.get_ylim()[0]))
    axes.legend(loc="upper center", ncols=2, fontsize="small", frameon=False)

"""Figures with matplotlib: the stages of a result, its gap over time, and the graph itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from framework.errors import UserError
from framework.model.instance import Instance
from framework.model.topology import IntArray
from framework.portfolio.result import Result
from framework.report.numbers import percent, quantity, scaled_unit

SUFFIXES = (".svg", ".png", ".pdf")
_PARTS = (("work", "#4477aa"), ("in", "#66ccee"), ("out", "#ccbb44"), ("overflow", "#ee6677"))
_DUAL, _INCUMBENT = "#228833", "#aa3377"


def check_suffix(path: Path) -> None:
    """Refuse a file name that no figure can be written to, before any work is done."""
    if path.suffix not in SUFFIXES:
        raise UserError(
            f"cannot draw a {path.suffix or 'file without a suffix'}",
            where=str(path),
            mend=f"end the name in {', '.join(SUFFIXES)}",
        )


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
    figure = _figure(11.0, 4.2)
    stages, trajectory = figure.subplots(1, 2)
    _draw_stages(stages, result)
    _draw_trajectory(trajectory, result)
    _save(figure, path)


def draw_graph(instance: Instance, path: Path, *, title: str, stage_of: IntArray | None = None) -> None:
    """Draw a graph in layers: depth from left to right, area by work, colour by stage where one is given."""
    from matplotlib.collections import LineCollection

    from framework.structure.shape import depths

    check_suffix(path)
    x, y = layered_positions(depths(instance), instance)
    top = instance.topology
    heads = np.repeat(np.arange(instance.n), np.diff(top.succ_ptr))
    segments = np.stack((np.column_stack((x[heads], y[heads])), np.column_stack((x[top.succs], y[top.succs]))), axis=1)
    figure = _figure(min(40.0, max(8.0, 0.06 * float(x.max() + 1))), 4.8)
    axes = figure.subplots()
    axes.add_collection(LineCollection(list(segments), colors="#bbbbbb", linewidths=0.5, zorder=1))
    area = 4 + 120 * np.sqrt(instance.work / max(1, int(instance.work.max())))
    colours: Any = "#4477aa" if stage_of is None else stage_of
    axes.scatter(x, y, s=area, c=colours, cmap="turbo", zorder=2, linewidths=0.3, edgecolors="white")
    axes.set_title(f"{title}: {instance.n} nodes, {top.edges} edges")
    axes.set_xlabel("depth")
    axes.set_yticks([])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    axes.margins(0.02, 0.08)
    _save(figure, path)


def layered_positions(depth: IntArray, instance: Instance) -> tuple[Any, Any]:
    """Return x and y of each node, ``[n]``: x is the depth, y the rank in its layer by mean y of predecessors."""
    top = instance.topology
    x = depth.astype(np.float64)
    y = np.zeros(instance.n)
    order = np.argsort(depth, kind="stable")
    starts = np.searchsorted(depth[order], np.arange(int(depth.max()) + 2))
    for layer in range(int(depth.max()) + 1):
        nodes = order[starts[layer] : starts[layer + 1]]
        wish = np.array(
            [
                np.mean(y[top.preds[a:b]]) if b > a else 0.0
                for a, b in zip(top.pred_ptr[nodes], top.pred_ptr[nodes + 1], strict=True)
            ]
        )
        ranked = nodes[np.argsort(wish, kind="stable")]
        y[ranked] = np.arange(len(ranked)) - (len(ranked) - 1) / 2
    return x, y


def _draw_stages(axes: Any, result: Result) -> None:
    rows = result.document["stage_costs"]
    unit, factor = scaled_unit(result.unit, result.in_units(result.incumbent_ticks) or 0.0)
    base = np.zeros(len(rows))
    for part, colour in _PARTS:
        heights = np.array([row[part] * factor for row in rows])
        if heights.any():
            axes.bar(range(len(rows)), heights, bottom=base, label=part, color=colour, width=0.8)
            base += heights
    dual = result.in_units(result.dual_ticks)
    if dual is not None:
        label = f"dual bound {quantity(dual * factor)}"
        axes.axhline(dual * factor, color=_DUAL, linestyle="--", linewidth=1.4, label=label)
    axes.set_xlabel("stage")
    axes.set_ylabel(f"cost [{unit}]")
    axes.set_title(f"{result.document['graph']['name']}, k = {result.stages}: gap {percent(result.relative_gap)}")
    axes.set_ylim(top=1.25 * axes.get_ylim()[1])
    axes.legend(loc="upper center", ncols=3, fontsize="small", frameon=False)


def _draw_trajectory(axes: Any, result: Result) -> None:
    unit, factor = scaled_unit(result.unit, result.in_units(result.incumbent_ticks) or 0.0)
    points = result.document["trajectory"]
    times = [point[0] for point in points] + [result.seconds]
    for column, label, colour in ((2, "incumbent", _INCUMBENT), (1, "dual bound", _DUAL)):
        values = [point[column] for point in points]
        heights = [float("nan") if value is None else value * factor for value in [*values, values[-1]]]
        axes.step(times, heights, where="post", label=label, color=colour, marker="o", markersize=3)
    axes.set_xlabel("seconds")
    axes.set_ylabel(f"bottleneck [{unit}]")
    axes.set_title(f"{result.status.replace('_', ' ')} after {result.seconds:.2f} s")
    axes.set_ylim(top=axes.get_ylim()[1] + 0.15 * (axes.get_ylim()[1] - axes.get_ylim()[0]))
    axes.legend(loc="upper center", ncols=2, fontsize="small", frameon=False)


def _figure(width: float, height: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    try:
        # Without a date the same figure is the same file.
        metadata = {"Date": None} if path.suffix == ".svg" else {}
        figure.savefig(path, metadata=metadata, dpi=150)
    except OSError as error:
        raise UserError(f"cannot write the figure: {error.strerror}", where=str(path)) from error

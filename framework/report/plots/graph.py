"""A graph in layers: depth from left to right, area by work, colour by stage, names where they fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.model.instance import Instance
from framework.report.escape import mathtext, shortened
from framework.report.numbers import quantity, scaled_unit
from framework.report.plots.canvas import TYPE, check_suffix, new_figure, save_figure, title_text
from framework.wording import counted

_POINTS = 72.0
_BLUE, _GREY = "#4477aa", "#b8b8b8"
_MOST_IN_LEGEND = 16
_MOST_NAMED = 400
_CROWDED = 2500
_NAME_SIZE = 6.0
_NAME_LENGTH = 26
_HALO: Any = {"boxstyle": "square,pad=0.08", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """The sheet that a graph is drawn on, in points: where each node lies, and how large it may be."""

    width: float
    height: float
    x: FloatArray
    y: FloatArray
    radius: FloatArray
    left: float
    bottom: float
    inner_width: float
    inner_height: float


def draw_graph(
    instance: Instance, path: Path, *, title: str, names: Sequence[str] = (), stage_of: IntArray | None = None
) -> None:
    """Draw a graph, with a legend of stages or of work.

    Parameters
    ----------
    names
        Names of the nodes of the instance; empty to write none.
    stage_of
        Stage of each node of the instance, ``[n]``.
    """
    import matplotlib as mpl

    check_suffix(path)
    with mpl.rc_context(TYPE):
        figure = _draw(instance, title=title, names=names, stage_of=stage_of)
    save_figure(figure, path)


def node_names(instance: Instance, names: Sequence[str]) -> list[str]:
    """Return a name for each node of an instance, given those of the nodes as read."""
    found = [""] * instance.n
    for i, v in enumerate(instance.node_of_input.tolist()):
        found[v] = names[i]
    return found


def _draw(instance: Instance, *, title: str, names: Sequence[str], stage_of: IntArray | None) -> Any:
    sheet = _lay_out(instance)
    figure = new_figure(sheet.width / _POINTS, sheet.height / _POINTS, constrained=False)
    axes = figure.add_axes(
        (
            sheet.left / sheet.width,
            sheet.bottom / sheet.height,
            sheet.inner_width / sheet.width,
            sheet.inner_height / sheet.height,
        )
    )
    axes.set_xlim(0, sheet.inner_width)
    axes.set_ylim(0, sheet.inner_height)
    _draw_edges(axes, instance, sheet)
    palette = [_BLUE] if stage_of is None else _palette(int(stage_of.max()) + 1)
    colours = [palette[0 if stage_of is None else int(stage_of[v])] for v in range(instance.n)]
    # Large nodes first, so that small ones on top of them are seen.
    order = np.argsort(-sheet.radius, kind="stable")
    axes.scatter(
        sheet.x[order],
        sheet.y[order],
        s=(2 * sheet.radius[order]) ** 2,
        color=[colours[v] for v in order],
        zorder=3,
        linewidths=0.3,
        edgecolors="white",
    )
    boxes: list[tuple[float, float, float, float]] = []
    if stage_of is not None:
        _number_stages(axes, sheet, stage_of, palette, boxes)
    if names and instance.topology.edges <= _CROWDED:
        _write_names(axes, sheet, names, order.tolist(), boxes)
    _legend(axes, instance, stage_of, palette, sheet)
    edges = counted(instance.topology.edges, "edge")
    axes.set_title(title_text(f"{title}: {counted(instance.n, 'node')}, {edges}", int(sheet.width / 5.5)), fontsize=10)
    _label_depth(axes, sheet)
    return figure


def _lay_out(instance: Instance) -> _Sheet:
    from framework.structure.poset.width import depths

    depth, rank = layered_positions(depths(instance), instance)
    columns, rows = float(depth.max()), float(rank.max() - rank.min())
    inner_width = min(2600.0, max(430.0, 30.0 * columns))
    inner_height = min(900.0, max(200.0, 22.0 * rows))
    edge = 26.0
    dx = (inner_width - 2 * edge) / max(columns, 1.0)
    dy = (inner_height - 2 * edge) / max(rows, 1.0)
    x = edge + depth * dx if columns else np.full(instance.n, inner_width / 2)
    y = edge + (rank - rank.min()) * dy if rows else np.full(instance.n, inner_height / 2)
    most = max(2.2, min(9.0, 0.45 * min(dx if columns else 20.0, dy if rows else 20.0)))
    share = np.sqrt(instance.work / max(1, int(instance.work.max())))
    left, right, bottom, top = 12.0, 118.0, 36.0, 52.0
    return _Sheet(
        width=left + inner_width + right,
        height=bottom + inner_height + top,
        x=x,
        y=y,
        radius=np.maximum(0.25 * most, share * most),
        left=left,
        bottom=bottom,
        inner_width=inner_width,
        inner_height=inner_height,
    )


def layered_positions(depth: IntArray, instance: Instance) -> tuple[FloatArray, FloatArray]:
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


def _draw_edges(axes: Any, instance: Instance, sheet: _Sheet) -> None:
    """Draw edges; those that skip layers bend round the nodes between, half of them above and half below."""
    from matplotlib.collections import LineCollection

    top = instance.topology
    tails = np.repeat(np.arange(instance.n), np.diff(top.succ_ptr))
    heads = top.succs
    layer = np.unique(np.round(sheet.x, 3))
    step = float(np.diff(layer).min()) if len(layer) > 1 else 1.0
    span = (sheet.x[heads] - sheet.x[tails]) / step
    # Thousands of lines are faint, so that their density shows, and straight.
    crowded = top.edges > _CROWDED
    bend = np.where((span > 1.5) & (not crowded), np.minimum(8.0 + 3.5 * span, 0.3 * sheet.inner_height), 0.0)
    middle = (sheet.y[heads] + sheet.y[tails]) / 2
    upwards = np.where(np.abs(middle - sheet.inner_height / 2) < 1.0, tails % 2 == 0, middle > sheet.inner_height / 2)
    bend *= np.where(upwards, 1.0, -1.0)
    t = np.linspace(0.0, 1.0, 2 if crowded else 15)
    x = sheet.x[tails][:, None] * (1 - t) + sheet.x[heads][:, None] * t
    y = sheet.y[tails][:, None] * (1 - t) + sheet.y[heads][:, None] * t + bend[:, None] * 4 * t * (1 - t)
    y = np.clip(y, 4.0, sheet.inner_height - 4.0)
    lines = list(np.stack((x, y), axis=2))
    opacity = min(1.0, max(0.04, _CROWDED / max(1, top.edges)))
    axes.add_collection(LineCollection(lines, colors=_GREY, linewidths=0.6, alpha=opacity, zorder=1))


def _palette(stages: int) -> list[Any]:
    """Return a colour a stage; neighbours differ, as stages side by side must be told apart."""
    import matplotlib as mpl

    if stages <= 10:
        return [mpl.colormaps["tab10"](b) for b in range(stages)]
    return [mpl.colormaps["turbo"]((b + 0.5) / stages) for b in range(stages)]


def _number_stages(
    axes: Any, sheet: _Sheet, stage_of: IntArray, palette: Sequence[Any], boxes: list[tuple[float, float, float, float]]
) -> None:
    """Write the number of each stage above its middle, in up to four lines where stages overlap."""
    for b in np.unique(stage_of).tolist():
        text, x = str(b), float(sheet.x[stage_of == b].mean())
        width = 6.0 * len(text) + 5.0
        for line in range(4):
            y = sheet.inner_height - 6.0 - 11.0 * line
            box = (x - width / 2, y - 5.0, x + width / 2, y + 5.0)
            if not _hits(box, boxes) or line == 3:
                break
        boxes.append(box)
        axes.text(x, y, text, ha="center", va="center", fontsize=9, fontweight="bold", color=palette[b], bbox=_HALO)


def _write_names(
    axes: Any,
    sheet: _Sheet,
    names: Sequence[str],
    order: Sequence[int],
    boxes: list[tuple[float, float, float, float]],
) -> None:
    """Write names beside nodes, those with the most work first, wherever no other name or node is in the way."""
    for v in order[:_MOST_NAMED]:
        text = shortened(mathtext(names[v]), _NAME_LENGTH).strip()
        if not text:
            continue
        width, height = 0.6 * _NAME_SIZE * len(text), 1.25 * _NAME_SIZE
        x, y, away = float(sheet.x[v]), float(sheet.y[v]), float(sheet.radius[v]) + 1.5
        # A name at the edge of the sheet may stand beside the middle of its node.
        centred = min(max(x - width / 2, 0.0), max(0.0, sheet.inner_width - width))
        for left, bottom in (
            (centred, y + away),
            (centred, y - away - height),
            (x + away, y - height / 2),
            (x - away - width, y - height / 2),
        ):
            box = (left, bottom, left + width, bottom + height)
            if _within(box, sheet) and not _hits(box, boxes) and not _covers_a_node(box, sheet):
                boxes.append(box)
                axes.text(
                    left + width / 2,
                    bottom + height / 2,
                    text,
                    ha="center",
                    va="center",
                    fontsize=_NAME_SIZE,
                    color="#222222",
                    bbox=_HALO,
                    zorder=2,
                )
                break


def _within(box: tuple[float, float, float, float], sheet: _Sheet) -> bool:
    return box[0] >= 0 and box[1] >= 0 and box[2] <= sheet.inner_width and box[3] <= sheet.inner_height


def _hits(box: tuple[float, float, float, float], others: Sequence[tuple[float, float, float, float]]) -> bool:
    left, bottom, right, top = box
    return any(left < c and a < right and bottom < d and b < top for a, b, c, d in others)


def _covers_a_node(box: tuple[float, float, float, float], sheet: _Sheet) -> bool:
    left, bottom, right, top = box
    x, y, r = sheet.x, sheet.y, sheet.radius
    return bool(((x + r > left) & (x - r < right) & (y + r > bottom) & (y - r < top)).any())


def _legend(axes: Any, instance: Instance, stage_of: IntArray | None, palette: Sequence[Any], sheet: _Sheet) -> None:
    from matplotlib.lines import Line2D

    def dot(colour: Any, diameter: float) -> Any:
        return Line2D([], [], linestyle="none", marker="o", color=colour, markersize=diameter, markeredgewidth=0)

    handles, labels = [], []
    if stage_of is not None:
        sizes = np.bincount(stage_of)
        shown = np.flatnonzero(sizes).tolist()
        for b in shown if len(shown) <= _MOST_IN_LEGEND else [shown[i] for i in _spread(len(shown))]:
            handles.append(dot(palette[b], 6.0))
            labels.append(f"stage {b}: {counted(int(sizes[b]), 'node')}")
    largest = int(np.argmax(instance.work))
    heaviest = instance.in_units(int(instance.work[largest]))
    unit, factor = scaled_unit(instance.unit, heaviest)
    grey = _BLUE if stage_of is None else "#888888"
    for share in (1.0, 0.25):
        handles.append(dot(grey, 2 * max(1.0, float(sheet.radius[largest]) * share**0.5)))
        labels.append(f"work {quantity(share * heaviest * factor, 3)} {shortened(mathtext(unit), 12)}")
    axes.legend(
        handles,
        labels,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        fontsize=7.5,
        frameon=False,
        borderaxespad=0.3,
        # As high as the largest dot.
        labelspacing=max(0.4, 2 * float(sheet.radius[largest]) / 7.5 - 0.9),
    )


def _spread(count: int) -> list[int]:
    """Return places of as many entries as a legend holds, first and last among them."""
    return sorted({round(i * (count - 1) / (_MOST_IN_LEGEND - 1)) for i in range(_MOST_IN_LEGEND)})


def _label_depth(axes: Any, sheet: _Sheet) -> None:
    """Put whole numbers of depth under the layers, as many as there is room for."""
    layers = np.unique(np.round(sheet.x, 3))
    least = max(1.0, 32.0 * len(layers) / sheet.inner_width)
    power = 10.0 ** np.floor(np.log10(least))
    every = int(next(step * power for step in (1, 2, 5, 10) if step * power >= least))
    chosen = np.arange(0, len(layers), every)
    axes.set_xticks(layers[chosen], [str(i) for i in chosen.tolist()])
    axes.set_xlabel("depth [nodes]")
    axes.set_yticks([])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)

"""A graph and its stages as one HTML page: drag, zoom, hover; nothing is loaded, and no name is obeyed.

Stages lie side by side from left to right, each as wide as its longest path, and what is too long goes on in the next
row; within a stage the layers of `framework.report.plots.graph` are used. What the script draws is JSON in the page, in
which no tag can end; names reach the page as text only.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from framework.layouts.write import placement_of
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts
from framework.model.instance import Instance
from framework.model.pricing import price
from framework.portfolio.result import Result
from framework.report.escape import html, shortened, terminal
from framework.report.numbers import quantity, scaled_unit
from framework.report.plots.graph import layered_positions
from framework.wording import counted

LISTED = 500
"""Tensors that the page lists; more are counted."""

_STEP, _RANK, _GAP, _LARGEST = 30.0, 22.0, 1, 9.0
_SHEET, _MOST_ROWS = (1000.0, 750.0), 80
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


class _Cut(NamedTuple):
    """A tensor that leaves its stage."""

    tensor: int
    producer: int
    home: int
    readers: list[int]


def page(result: Result, graph: ModelGraph) -> str:
    """Return the page of a result with a partition.

    Raises
    ------
    UserError
        If the result holds no partition, or is of another graph.
    """
    placement = placement_of(result, graph)
    sheet = _Sheet(result, graph, np.array(placement.stage_of, np.int64))
    folder = files("framework.report.splits")
    css, script = (folder.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    # Within a script element only "<" can end it, or begin a comment.
    data = json.dumps(sheet.data(), ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")
    title = html(f"{graph.name}: {counted(result.stages, 'stage')}")
    head = f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    head += f'<meta name="viewport" content="width=device-width"><title>{title}</title>\n<style>\n{css}</style>'
    tools = '<input id="find" type="search" placeholder="Find nodes" aria-label="Find nodes"> <span id="found"></span>'
    tools += '<button id="fit" type="button">Fit</button>'
    header = f"<h1>{title}</h1><p>{html(sheet.words())}</p>"
    header += f'<div class="tools">{tools}</div>'
    drawing = '<canvas id="graph" tabindex="0" aria-label="The graph; drag to move, wheel or + and - to zoom"></canvas>'
    main = f'<div id="drawing">{drawing}<div id="tip" role="status"></div></div>'
    main += f"<aside>{''.join(sheet.tables())}</aside>"
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n<header>{header}</header>\n'
        f"<main>{main}</main>\n"
        f'<script type="application/json" id="data">{data}</script>\n<script>\n{script}</script>\n</body></html>\n'
    )


class _Place(NamedTuple):
    """Where the nodes lie: in rows, one below the other, since a graph is much longer than it is high."""

    x: FloatArray
    y: FloatArray
    row: IntArray
    width: float
    height: float
    row_height: float


class _Sheet:
    """What the page shows of a result."""

    def __init__(self, result: Result, graph: ModelGraph, stage_of: IntArray) -> None:
        self.result, self.graph, self.stage_of = result, graph, stage_of
        self.instance = price(graph, result.device)
        self.unit, self.factor = scaled_unit(result.unit, result.incumbent or 0.0)
        self.cuts = list(_cuts(graph, stage_of))

    def words(self) -> str:
        """Say how good the partition is."""
        result = self.result
        if result.incumbent is None or result.dual_bound is None:
            return ""
        return f"bottleneck {self._cost(result.incumbent)}, no partition below {self._cost(result.dual_bound)}"

    def data(self) -> dict[str, Any]:
        """Return what the script draws."""
        place = _folded(*self._positions())
        graph, instance = self.graph, self.instance
        work = _work(instance, self.stage_of)
        radius = np.maximum(0.25 * _LARGEST, np.sqrt(work / max(1, int(work.max()))) * _LARGEST)
        parameters = graph.parameters_of_nodes
        nodes = [
            {
                "name": terminal(name),
                "op": terminal(op),
                "stage": int(self.stage_of[v]),
                "x": round(float(place.x[v]), 1),
                "y": round(float(place.y[v]), 1),
                "row": int(place.row[v]),
                "r": round(float(radius[v]), 1),
                "work": self._cost(instance.in_units(int(work[v]))),
                "parameters": self._size(float(parameters[v])) if parameters[v] else "",
            }
            for v, (name, op) in enumerate(zip(graph.node_names, graph.ops, strict=True))
        ]
        top = graph.topology
        edges = []
        for t, u in enumerate(top.producer.tolist()):
            for v in top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist():
                cut = bool(self.stage_of[u] != self.stage_of[v])
                long = bool(place.x[v] - place.x[u] > 1.5 * _STEP)
                edges.append({"from": u, "to": v, "tensor": t, "cut": cut, "long": long})
        return {
            "nodes": nodes,
            "edges": edges,
            "tensors": [{"size": self._size(float(size))} for size in self._sizes()],
            "bands": list(self._bands(place)),
            "width": place.width,
            "height": place.height,
        }

    def tables(self) -> Iterator[str]:
        """Yield the tables beside the drawing: stages, and tensors that are cut."""
        rows, sizes = self.result.stage_costs, np.bincount(self.stage_of, minlength=self.result.stages)
        slowest = max((row.total for row in rows), default=0.0)
        yield f'<h2>Stages, in {html(self.unit)}</h2><table id="stages"><thead><tr><th class="name">stage</th>'
        yield "".join(f"<th>{heading}</th>" for heading in ("nodes", "work", "in", "out", "overflow", "total"))
        yield "</tr></thead><tbody>"
        for b, row in enumerate(rows):
            mark = f'<span class="swatch" data-stage="{b}"></span>'
            style = ' class="slowest"' if row.total == slowest else ""
            costs = (row.work, row.inbound, row.outbound, row.overflow, row.total)
            cells = "".join(f"<td>{quantity(cost * self.factor, 4)}</td>" for cost in costs)
            yield f'<tr{style}><td class="name">{mark}{b}</td><td>{int(sizes[b])}</td>{cells}</tr>'
        yield "</tbody></table>"
        total = sum(float(self._sizes()[cut.tensor]) for cut in self.cuts)
        what = counted(len(self.cuts), "tensor")
        yield f"<h2>Cut: {what}, {html(self._size(total))}</h2>"
        yield '<table id="cuts"><thead><tr><th class="name">tensor of</th><th>from</th><th>to</th><th>size</th></tr>'
        yield "</thead><tbody>"
        order = sorted(self.cuts, key=lambda cut: -float(self._sizes()[cut.tensor]))
        for cut in order[:LISTED]:
            name = html(shortened(self.graph.node_names[cut.producer], 60))
            to = ", ".join(map(str, cut.readers))
            size = html(self._size(float(self._sizes()[cut.tensor])))
            yield f'<tr><td class="name">{name}</td><td>{cut.home}</td><td>{to}</td><td>{size}</td></tr>'
        yield "</tbody></table>"
        if len(order) > LISTED:
            yield f"<p>and {len(order) - LISTED:,} more</p>"

    def _positions(self) -> tuple[IntArray, FloatArray]:
        """Return the column of each node, stages side by side and depth from left to right, and its rank in it."""
        of_instance = np.empty(self.instance.n, np.int64)
        of_instance[self.instance.node_of_input] = self.stage_of
        depth = _depths_in_bands(self.instance, of_instance)
        _, rank = layered_positions(depth, self.instance)
        node = self.instance.node_of_input
        return depth[node], rank[node] - rank.min()

    def _bands(self, place: _Place) -> Iterator[dict[str, Any]]:
        """Yield where each stage lies, what it costs, and what leaves it and the stages before it."""
        sizes, rows = self._sizes(), self.result.stage_costs
        used = np.unique(self.stage_of).tolist()
        for i, b in enumerate(used):
            parts = []
            for row in np.unique(place.row[self.stage_of == b]).tolist():
                x = place.x[(self.stage_of == b) & (place.row == row)]
                sides = {"left": float(x.min()) - _STEP / 2, "right": float(x.max()) + _STEP / 2}
                parts.append({**sides, "top": row * place.row_height, "bottom": (row + 1) * place.row_height - 6})
            band = {"stage": b, "parts": parts, "total": self._cost(rows[b].total) if rows else ""}
            if i + 1 < len(used):
                crossing = [cut.tensor for cut in self.cuts if cut.home <= b < max(cut.readers)]
                band["cut"] = f"{counted(len(crossing), 'tensor')}, {self._size(float(sizes[crossing].sum()))}"
            yield band

    def _sizes(self) -> FloatArray:
        costs = self.graph.costs
        sizes = costs.tensor_bytes if isinstance(costs, PhysicalCosts) else costs.tensor_cost
        return np.asarray(sizes, np.float64)

    def _cost(self, value: float) -> str:
        return f"{quantity(value * self.factor, 4)} {terminal(self.unit)}"

    def _size(self, value: float) -> str:
        if not isinstance(self.graph.costs, PhysicalCosts):
            return self._cost(value)
        for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
            if value >= scale:
                return f"{quantity(value / scale, 3)} {unit}"
        return f"{quantity(value, 3)} B"


def _folded(column: IntArray, rank: FloatArray) -> _Place:
    """Break the columns of a graph into rows, as many as let it be drawn largest on a sheet of the usual shape."""
    columns, row_height = int(column.max()) + 1, (float(rank.max()) + 3) * _RANK

    def scale(rows: int) -> float:
        return min(_SHEET[0] / (-(-columns // rows) * _STEP), _SHEET[1] / (rows * row_height))

    rows = max(range(1, min(columns, _MOST_ROWS) + 1), key=scale)
    each = -(-columns // rows)
    return _Place(
        x=(column % each).astype(np.float64) * _STEP + _STEP / 2,
        y=column // each * row_height + (rank + 1.5) * _RANK,
        row=column // each,
        width=each * _STEP,
        height=rows * row_height,
        row_height=row_height,
    )


def _work(instance: Instance, stage_of: IntArray) -> IntArray:
    """Return the work of each node of the graph in its own stage, ``[n]``, in ticks."""
    nodes = instance.node_of_input
    if instance.unequal is None:
        return instance.work[nodes]
    kinds = instance.unequal.device[stage_of]
    return instance.unequal.work[kinds, nodes]


def _cuts(graph: ModelGraph, stage_of: IntArray) -> Iterator[_Cut]:
    top = graph.topology
    for t, u in enumerate(top.producer.tolist()):
        home = int(stage_of[u])
        readers = set(stage_of[top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]]].tolist()) - {home}
        if readers:
            yield _Cut(tensor=t, producer=u, home=home, readers=sorted(readers))


def _depths_in_bands(instance: Instance, stage_of: Sequence[int] | IntArray) -> IntArray:
    """Return a depth of each node of the instance that begins anew, further right, at each stage."""
    top = instance.topology
    ptr, preds = top.pred_ptr.tolist(), top.preds.tolist()
    depth = np.zeros(instance.n, np.int64)
    stages = np.asarray(stage_of)
    begin = 0
    for b in np.unique(stages).tolist():
        last = begin
        # Nodes of an instance are numbered topologically.
        for v in np.flatnonzero(stages == b).tolist():
            before = [int(depth[u]) + 1 for u in preds[ptr[v] : ptr[v + 1]] if stages[u] == b]
            depth[v] = max(before, default=begin)
            last = max(last, int(depth[v]))
        begin = last + 1 + _GAP
    return depth

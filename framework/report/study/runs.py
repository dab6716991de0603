"""The part of a study's page that shows single runs: the controls, and the data that the script of the page shows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from framework.bounds import PROVEN_GAP
from framework.study.analysis.data import StudyData

_CONTROLS = (
    ("entry", "entry", "all entries"),
    ("k", "stages", "all k"),
    ("task", "task area", "all areas"),
    ("device", "device", "all devices"),
)


def runs_html(data: StudyData) -> str:
    """Return the controls, an empty picture and empty tables, which the script of the page fills."""
    if not data.answered.any():
        return "<p>Nothing yet.</p>"
    selects = "".join(
        f'<label>{title} <select id="filter-{name}"><option value="">{every}</option></select></label>'
        for name, title, every in _CONTROLS
    )
    heads = "".join(f"<th>{heading}</th>" for heading in ("runs", "bound / best", "proven", "mean s"))
    return f"""<noscript><p>This part needs the script of the page; the figures and tables below do not.</p></noscript>
<svg id="picture" viewBox="0 0 760 330" role="img" aria-label="Bound / best by number of stages"></svg>
<div id="filters"><label>graph or family <input id="filter-text" type="search"></label>{selects}
<label>state <select id="filter-state"><option value="">all</option><option value="open">not proven</option>
<option value="proven">proven</option></select></label></div>
<div class="wide"><table><thead><tr><th class="name">entry, on these runs</th>{heads}</tr></thead>
<tbody id="entry-rows"></tbody></table></div>
<p id="runs-count" aria-live="polite"></p>
<div class="wide"><table><thead><tr id="runs-heads"></tr></thead><tbody id="runs-rows"></tbody></table></div>
<p><button id="runs-more" hidden></button></p>"""


def runs_json(data: StudyData) -> str:
    """Return the planned runs that have a result as JSON in which no tag can end: ticks, with their scales."""
    scales: dict[tuple[float, str], int] = {}
    statuses: dict[str, int] = {}
    rows: list[list[Any]] = []
    for i in np.flatnonzero(data.answered).tolist():
        scale = (float(data.ticks_per_unit[i]), data.unit[i])
        rows.append(
            [
                int(data.graph[i]),
                int(data.stages[i]),
                int(data.label[i]),
                int(data.device[i]),
                int(data.dual[i]),
                int(data.incumbent[i]),
                int(data.best[i]),
                scales.setdefault(scale, len(scales)),
                round(float(data.seconds[i]), 3),
                statuses.setdefault(data.status[i].replace("_", " "), len(statuses)),
                data.dual_source[i],
                data.soundness[i],
            ]
        )
    document = {
        "proven": PROVEN_GAP,
        "entries": data.labels,
        "devices": data.devices,
        "graphs": [[graph.name, graph.task, graph.family, graph.nodes] for graph in data.graphs],
        "scales": [list(scale) for scale in scales],
        "statuses": list(statuses),
        "runs": rows,
    }
    # Within a script element only "<" can end it, or begin a comment.
    return json.dumps(document, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c")

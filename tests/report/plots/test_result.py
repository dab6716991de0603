"""Figures: names as they stand, stages with numbers, nothing that warns, nothing that vanishes."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import numpy as np
import pytest

from framework.errors import UserError
from framework.model.instance import instance_from_lists
from framework.portfolio.records import GraphRecord, Moment, StageCost
from framework.portfolio.result import Result
from framework.report.plots.canvas import title_text
from framework.report.plots.graph import draw_graph
from framework.report.plots.result import draw_result
from framework.report.study.figures import draw, figure_names, write_figures
from framework.study.analysis.report import StudyReport, make_report
from framework.study.analysis.summary import Group
from tests.report.test_study_page import make
from tests.results import made_result

NASTY = ["[/red]", "$\\frac", "a\nb", "_x", "层", "<&\"'>", "x$y$", r"\write18{id}"]


@pytest.fixture(autouse=True)
def _nothing_warns() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def texts(path: Path) -> list[str]:
    """Return the texts of an SVG file."""
    return [unescape(text) for text in re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text(encoding="utf-8"))]


def test_a_graph_is_drawn_with_names_stage_numbers_and_a_legend(tmp_path: Path) -> None:
    instance = instance_from_lists([3, 4, 5, 1, 2, 9, 1, 1], [(v, 1, [v + 1]) for v in range(7)])
    path = tmp_path / "g.svg"
    draw_graph(
        instance, path, title=r"x}\input{y}$%$", names=NASTY, stage_of=np.array([0, 0, 0, 1, 1, 1, 3, 3], np.int64)
    )
    found = [text.strip() for text in texts(path)]
    for name in ("[/red]", r"$\frac", r"a\nb", "_x", "层", "<&\"'>", "x$y$", r"\write18{id}"):
        assert name in found
    assert [text for text in found if text.startswith("stage")] == [
        "stage 0: 3 nodes",
        "stage 1: 3 nodes",
        "stage 3: 2 nodes",
    ]
    assert {"0", "1", "3"} <= set(found)
    assert any(text.startswith("work 9") for text in found)
    assert r"x}\input{y}$%$: 8 nodes, 7 edges" in found


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_every_format_is_written_without_a_warning(tmp_path: Path, suffix: str) -> None:
    instance = instance_from_lists([3, 4, 5], [(0, 1, [1, 2]), (1, 1, [2])])
    draw_graph(instance, tmp_path / f"g{suffix}", title="层 \x1b", names=["层", "\ud800", "$"])
    assert (tmp_path / f"g{suffix}").stat().st_size > 1000


def test_a_wide_graph_of_many_stages_and_one_node(tmp_path: Path) -> None:
    many = instance_from_lists([1] * 300, [(0, 1, list(range(1, 300)))])
    draw_graph(many, tmp_path / "w.png", title="wide", stage_of=np.arange(300, dtype=np.int64) // 6)
    one = instance_from_lists([0], [])
    draw_graph(one, tmp_path / "o.png", title="", names=["x" * 500], stage_of=np.zeros(1, np.int64))


def test_names_and_numbers_do_not_overlap(tmp_path: Path) -> None:
    from framework.report.plots import graph as graph_plot

    instance = instance_from_lists(list(range(1, 61)), [(v, 1, [v + 1]) for v in range(59)])
    sheet = graph_plot._lay_out(instance)
    boxes: list[tuple[float, float, float, float]] = []
    from matplotlib.figure import Figure

    names = [f"a/long/name/of/node/{v}" for v in range(60)]
    graph_plot._write_names(Figure().subplots(), sheet, names, list(range(60)), boxes)
    assert len(boxes) > 5
    for i, box in enumerate(boxes):
        assert not graph_plot._hits(box, boxes[:i])
        assert not graph_plot._covers_a_node(box, sheet)


def result(unit: str = r"\write18{id}$") -> Result:
    row = StageCost(work=4.0, inbound=0.0, outbound=1.0, overflow=0.0, total=5.0)
    return made_result(
        graph=GraphRecord(name="[/x] $y$", sha256="0", nodes=3),
        unit=unit,
        stage_costs=(row, row),
        trajectory=(
            Moment(seconds=0.1, dual_bound=3.0, incumbent=5.0, source="x"),
            Moment(seconds=0.5, dual_bound=4.0, incumbent=5.0, source="y"),
        ),
    )


def test_the_stages_of_a_result_have_whole_numbers(tmp_path: Path) -> None:
    draw_result(result(), tmp_path / "r.svg")
    found = texts(tmp_path / "r.svg")
    assert "[/x] $y$, k = 2: gap 20.00%" in found
    assert r"cost [\write18{id}$]" in found
    assert not any(text.startswith(("\N{MINUS SIGN}0.", "-0.")) for text in found)
    assert "stage, and its number of nodes" in found


def test_a_figure_without_a_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"end the name in \.svg, \.png, \.pdf"):
        draw_result(result(), tmp_path / "r.bmp")


def test_long_titles_are_lines_and_very_long_ones_lose_their_middle() -> None:
    assert title_text("a" * 15 + " " + "b" * 15, 20) == "a" * 15 + "\n" + "b" * 15
    assert title_text("", 20) == " "
    assert len(title_text("x" * 1000, 20).splitlines()) == 3


@pytest.fixture(scope="module")
def two_devices(tmp_path_factory: pytest.TempPathFactory) -> StudyReport:
    """Two entries that coincide, on two devices; at k = 2 they close the gap wholly."""
    report = make_report(make(tmp_path_factory.mktemp("figures")))
    groups = []
    for device in ("fast $x_1$", "slow"):
        for group, k in zip(report.stages, (2, 4, 8, 16), strict=True):
            closing = math.inf if k == 2 else float(k)
            rows = tuple(dataclasses.replace(row, ratio=0.9, closing=closing) for row in group.summaries)
            groups.append(Group(title=f"{device}, k = {k}", summaries=rows))
    return dataclasses.replace(report, stages=groups)


def test_lines_do_not_join_devices_and_what_coincides_shows(two_devices: StudyReport) -> None:
    (axes,) = draw(two_devices, "ratios").axes
    first, second, _ = (line for line in axes.lines if len(line.get_xdata()) > 2)
    for line in (first, second):
        assert np.isnan(line.get_ydata()).sum() == 1
    assert (first.get_xdata() != second.get_xdata()).all()
    for look in ("get_linestyle", "get_marker", "get_color", "get_linewidth"):
        assert getattr(first, look)() != getattr(second, look)()
    assert [text.get_text() for text in axes.texts] == [r"fast \$x_1\$", "slow"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "4", "8", "16"] * 2


def test_a_gap_that_was_closed_wholly_is_drawn(two_devices: StudyReport) -> None:
    (axes,) = draw(two_devices, "closing").axes
    line = axes.lines[0]
    heights = np.asarray(line.get_ydata())
    assert heights[0] == 2 * 16
    assert axes.get_ylim()[1] > heights[0]
    assert "gap closed wholly" in [text.get_text() for text in axes.texts]


def test_all_closed_and_nothing_known_are_drawn(two_devices: StudyReport, tmp_path: Path) -> None:
    for closing in (math.inf, None):
        groups = [
            Group(
                title=g.title, summaries=tuple(dataclasses.replace(r, closing=closing, ratio=None) for r in g.summaries)
            )
            for g in two_devices.stages
        ]
        report = dataclasses.replace(two_devices, stages=groups)
        assert "closing" in figure_names(report)
        draw(report, "closing").savefig(tmp_path / "x.png")
        draw(report, "ratios").savefig(tmp_path / "y.png")


def test_study_figures_show_names_as_they_are(two_devices: StudyReport, tmp_path: Path) -> None:
    write_figures(two_devices, tmp_path, ["svg"])
    found = " ".join(texts(tmp_path / "ratios.svg"))
    assert 'b<script>alert("1")</script> &' in found
    assert "fast $x_1$" in found

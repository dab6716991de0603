"""Figures of a study: ratios by stages, profiles, gaps over time; matplotlib, so that page and paper look the same."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from framework.bounds import PROVEN_WITHIN
from framework.errors import UserError
from framework.report.plots.canvas import TYPE, new_figure, title_text
from framework.study.analysis.profiles import Profile
from framework.study.analysis.report import StudyReport
from framework.study.analysis.summary import Group, Summary

COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44", "#997700", "#555555")
STYLES: tuple[Any, ...] = ("-", "--", "-.", (0, (4, 1, 1, 1, 1, 1)), ":")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""Colours, dashes and markers come round at different paces, so that many entries differ in one of them at least."""
FORMATS = ("svg", "pdf", "png")
_LEGEND_COLUMNS = 34
_CLOSED = "gap closed wholly"


def figure_names(report: StudyReport) -> dict[str, str]:
    """Return file name and caption of every figure that the report has data for."""
    names = {}
    if report.stages:
        names["ratios"] = "Dual bound / virtual best incumbent (geometric mean) by number of stages"
        names["closing"] = "Closing factor over the simple bound by number of stages"
        names["proven"] = f"Share of pairs proven optimal within {PROVEN_WITHIN}, by number of stages"
    if report.gap_profiles:
        names["gap-profile"] = "Share of pairs whose dual bound is within a gap of the virtual best incumbent"
    if report.time_profiles:
        names["time-profile"] = "Share of pairs proven optimal within a factor of the fastest entry's time"
    if report.curves:
        names["dual-curve"] = "Mean dual gap to the virtual best incumbent over time"
        names["primal-curve"] = "Mean gap of the partition to the virtual best incumbent over time"
    return names


def draw(report: StudyReport, name: str) -> Any:
    """Return the matplotlib figure of a name."""
    import matplotlib as mpl

    with mpl.rc_context(TYPE):
        figure = new_figure(7.6, 3.9)
        axes = figure.subplots()
        _DRAW[name](axes, report)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            figure.legend(handles, labels, loc="outside right upper", fontsize="small", handlelength=3.2)
        axes.grid(alpha=0.25)
    return figure


def svg(report: StudyReport, name: str) -> str:
    """Return a figure as an SVG element for a page; its ids carry the name, so that several fit on one page."""
    buffer = io.StringIO()
    _save(draw(report, name), buffer, "svg", name)
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    # Sizes in points are for paper; on a page the figure fills its column.
    return re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1)


def write_figures(report: StudyReport, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write every figure in every format and return the files.

    Raises
    ------
    UserError
        For a format that cannot be drawn, or a folder that cannot be written.
    """
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"cannot draw {name!r}", hint=f"choose from {', '.join(FORMATS)}")
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in figure_names(report):
            for suffix in formats:
                path = folder / f"{name}.{suffix}"
                with path.open("wb") as file:
                    _save(draw(report, name), file, suffix, name)
                written.append(path)
    except OSError as error:
        raise UserError(f"cannot write the figures: {error.strerror}", where=str(folder)) from error
    return written


def _save(figure: Any, file: Any, suffix: str, salt: str) -> None:
    import matplotlib as mpl

    # Without a date and with fixed ids the same figure is the same file.
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(suffix, {})
    with mpl.rc_context(TYPE | {"svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        figure.savefig(file, format=suffix, metadata=metadata, dpi=150)


def _style(i: int, count: int) -> dict[str, Any]:
    """Return how entry `i` of `count` is drawn: later ones thinner, so that the ones they cover show beside them."""
    return {
        "color": COLOURS[i % len(COLOURS)],
        "linestyle": STYLES[i % len(STYLES)],
        "marker": MARKERS[i % len(MARKERS)],
        "markersize": 4.5,
        "linewidth": 2.4 - 1.3 * i / max(1, count - 1),
    }


def _label(text: str) -> str:
    return title_text(text, _LEGEND_COLUMNS)


def _places(report: StudyReport) -> tuple[list[float], list[str], list[tuple[float, str]]]:
    """Return the place of every group, its label, and a heading for each series of groups.

    A series is a collection of graphs on a device: places within it are one apart, as numbers of stages double;
    between series one place stays free.
    """
    places: list[float] = []
    labels: list[str] = []
    headings: list[tuple[float, str]] = []
    last = None
    for group in report.stages:
        series, _, k = group.title.rpartition("k = ")
        step = 1.0 if last == series or not places else 2.0
        places.append(places[-1] + step if places else 0.0)
        labels.append(k)
        if series != last:
            headings.append((places[-1], series.rstrip(", ")))
        last = series
    return places, labels, headings


def _by_stages(axes: Any, report: StudyReport, value: Callable[[Summary], float | None], closed: float = 0.0) -> None:
    """Draw a line an entry over the groups, broken between series and where a value is missing.

    Parameters
    ----------
    closed
        Where infinite values are drawn.
    """
    places, labels, headings = _places(report)
    count = len(report.data.labels)
    for i, label in enumerate(report.data.labels):
        shift = (i - (count - 1) / 2) * min(0.12, 0.5 / count)
        found = [_of(group, label) for group in report.stages]
        heights = [None if row is None else value(row) for row in found]
        if any(height is not None for height in heights):
            known = [math.nan if h is None else closed if math.isinf(h) else h for h in heights]
            x, y = _broken(places, known)
            axes.plot([place + shift for place in x], y, label=_label(label), **_style(i, count))
    axes.set_xticks(places, labels)
    axes.set_xlabel("number of stages")
    for place, heading in headings:
        if heading:
            axes.text(
                place - 0.3, 1.01, title_text(heading, 40), transform=axes.get_xaxis_transform(), fontsize="small"
            )
        if place:
            axes.axvline(place - 1.0, color="#bbbbbb", linewidth=0.8)


def _broken(places: Sequence[float], heights: Sequence[float]) -> tuple[list[float], list[float]]:
    """Return a line with a gap wherever places are more than one apart."""
    x: list[float] = []
    y: list[float] = []
    for place, height in zip(places, heights, strict=True):
        if x and place - x[-1] > 1.5:
            x.append(place - 1.0)
            y.append(math.nan)
        x.append(place)
        y.append(height)
    return x, y


def _of(group: Group, label: str) -> Summary | None:
    return next((row for row in group.summaries if row.label == label), None)


def _ratios(axes: Any, report: StudyReport) -> None:
    _by_stages(axes, report, lambda row: row.ratio)
    starts = [group.summaries[0].simple_ratio for group in report.stages]
    x, y = _broken(_places(report)[0], [math.nan if start is None else start for start in starts])
    axes.plot(x, y, color="#bbbbbb", linewidth=1, marker=".", label="simple bound")
    axes.set_ylabel("dual bound / virtual best")
    axes.set_ylim(top=1.02)


def _closing(axes: Any, report: StudyReport) -> None:
    found = [row.closing for group in report.stages for row in group.summaries if row.closing is not None]
    finite = [factor for factor in found if not math.isinf(factor) and factor > 0]
    closed = 2.0 * max(finite, default=1.0)
    _by_stages(axes, report, lambda row: row.closing, closed)
    axes.set_yscale("log")
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis(lambda height, _: f"{height:g}")
    axes.tick_params(axis="y", which="both", labelsize="small")
    axes.set_ylabel("closing factor over simple")
    if len(finite) < len(found):
        axes.axhline(closed, color="#888888", linewidth=0.8, linestyle=":", zorder=0)
        axes.annotate(
            _CLOSED,
            (0.01, closed),
            xycoords=axes.get_yaxis_transform(),
            xytext=(0, 6),
            textcoords="offset points",
            fontsize="small",
        )
        axes.set_ylim(bottom=0.8 * min(finite, default=1.0), top=1.5 * closed)


def _proven(axes: Any, report: StudyReport) -> None:
    _by_stages(axes, report, lambda row: row.proven)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share proven optimal")


def _sparse(i: int, count: int) -> dict[str, Any]:
    """Return where markers stand on a line of many points: at other places for each entry."""
    return {"markevery": (0.12 * i / max(1, count), 0.12)}


def _profile(axes: Any, profiles: Sequence[Profile]) -> None:
    for i, profile in enumerate(profiles):
        style = _style(i, len(profiles)) | _sparse(i, len(profiles))
        axes.step(profile.x, profile.y, where="post", label=_label(profile.label), **style)
    axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share of pairs")


def _gap_profile(axes: Any, report: StudyReport) -> None:
    _profile(axes, report.gap_profiles)
    axes.set_xlabel("gap of the dual bound to the virtual best incumbent")


def _time_profile(axes: Any, report: StudyReport) -> None:
    _profile(axes, report.time_profiles)
    axes.set_xlabel("time to a proof / fastest time to a proof")


def _dual_curve(axes: Any, report: StudyReport) -> None:
    for i, curve in enumerate(report.curves):
        style = _style(i, len(report.curves)) | _sparse(i, len(report.curves))
        axes.plot(curve.seconds, curve.dual_gap, label=_label(curve.label), **style)
    _over_time(axes, "mean dual gap")


def _primal_curve(axes: Any, report: StudyReport) -> None:
    for i, curve in enumerate(report.curves):
        style = _style(i, len(report.curves)) | _sparse(i, len(report.curves))
        axes.plot(curve.seconds, curve.primal_gap, label=_label(curve.label), **style)
    _over_time(axes, "mean gap of the partition")


def _over_time(axes: Any, what: str) -> None:
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("seconds")
    axes.set_ylabel(what)


_DRAW: dict[str, Callable[[Any, StudyReport], None]] = {
    "ratios": _ratios,
    "closing": _closing,
    "proven": _proven,
    "gap-profile": _gap_profile,
    "time-profile": _time_profile,
    "dual-curve": _dual_curve,
    "primal-curve": _primal_curve,
}

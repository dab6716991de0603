"""Figures of a study: ratios by stages, profiles, gaps over time; matplotlib, so that page and paper look the same."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.study.analysis.profiles import Profile
from framework.study.analysis.report import StudyReport
from framework.study.analysis.summary import Group, Summary

COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44", "#997700", "#555555")
STYLES = ("-", "--", ":", "-.")
FORMATS = ("svg", "pdf", "png")
_TYPE: Any = {"svg.fonttype": "none", "pdf.fonttype": 42, "font.size": 9, "font.family": "sans-serif"}


def figure_names(report: StudyReport) -> dict[str, str]:
    """Return file name and caption of every figure that the report has data for."""
    names = {}
    if report.stages:
        names["ratios"] = "Dual bound / virtual best incumbent (geometric mean) by number of stages"
        names["closing"] = "Closing factor over the simple bound by number of stages"
        names["proven"] = "Share of pairs proven optimal within 1e-4, by number of stages"
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
    from matplotlib.figure import Figure

    with mpl.rc_context(_TYPE):
        figure = Figure(figsize=(6.4, 3.9), layout="constrained")
        axes = figure.subplots()
        _DRAW[name](axes, report)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            axes.legend(handles, labels, fontsize="small", framealpha=0.85)
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
            raise UserError(f"cannot draw {name!r}", mend=f"choose from {', '.join(FORMATS)}")
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
    with mpl.rc_context(_TYPE | {"svg.hashsalt": salt}):
        figure.savefig(file, format=suffix, metadata=metadata, dpi=150)


def _style(i: int) -> dict[str, Any]:
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": STYLES[i // len(COLOURS) % len(STYLES)]}


def _by_stages(axes: Any, report: StudyReport, value: Callable[[Summary], float | None]) -> None:
    """Draw one line an entry over the groups; groups are spaced evenly, as numbers of stages double."""
    for i, label in enumerate(report.data.labels):
        places, heights = [], []
        for place, group in enumerate(report.stages):
            found = _of(group, label)
            height = None if found is None else value(found)
            if height is not None and height < float("inf"):
                places.append(place)
                heights.append(height)
        if places:
            axes.plot(places, heights, marker="o", markersize=4, label=label, **_style(i))
    long = any(len(group.title) > 8 for group in report.stages)
    axes.set_xticks(
        range(len(report.stages)),
        [group.title for group in report.stages],
        rotation=60 if long and len(report.stages) > 4 else 0,
        ha="right" if long and len(report.stages) > 4 else "center",
    )


def _of(group: Group, label: str) -> Summary | None:
    return next((row for row in group.summaries if row.label == label), None)


def _ratios(axes: Any, report: StudyReport) -> None:
    _by_stages(axes, report, lambda row: row.ratio)
    axes.plot(
        range(len(report.stages)),
        [group.summaries[0].simple_ratio for group in report.stages],
        color="#bbbbbb",
        linewidth=1,
        label="simple bound",
    )
    axes.set_ylabel("dual bound / virtual best")
    axes.set_ylim(top=1.02)


def _closing(axes: Any, report: StudyReport) -> None:
    _by_stages(axes, report, lambda row: row.closing)
    axes.set_yscale("log")
    axes.set_ylabel("closing factor over simple")


def _proven(axes: Any, report: StudyReport) -> None:
    _by_stages(axes, report, lambda row: row.proven)
    axes.set_ylim(-0.03, 1.03)
    axes.set_ylabel("share proven optimal")


def _profile(axes: Any, profiles: Sequence[Profile]) -> None:
    for i, profile in enumerate(profiles):
        axes.step(profile.x, profile.y, where="post", label=profile.label, **_style(i))
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
        axes.plot(curve.seconds, curve.dual_gap, label=curve.label, **_style(i))
    _over_time(axes, "mean dual gap")


def _primal_curve(axes: Any, report: StudyReport) -> None:
    for i, curve in enumerate(report.curves):
        axes.plot(curve.seconds, curve.primal_gap, label=curve.label, **_style(i))
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

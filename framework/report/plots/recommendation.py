"""What `recommend` found, by number of stages: bottleneck, speed-up beside its bound, and latency."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from framework.deploy.tuning.recommend import Recommendation
from framework.report.escape import mathtext
from framework.report.numbers import percent, scaled_unit
from framework.report.plots.canvas import TYPE, check_suffix, new_figure, save_figure, title_text
from framework.wording import counted

_BOUND, _FOUND, _KNEE = "#228833", "#4477aa", "#ee6677"
_TITLE = 70


def draw_recommendation(answer: Recommendation, path: Path) -> None:
    """Draw bottleneck and speed-up by number of stages, each with its bound, and throughput against latency.

    Parameters
    ----------
    path
        ``.svg``, ``.png`` or ``.pdf``.
    """
    check_suffix(path)
    save_figure(recommendation_figure(answer), path)


def recommendation_figure(answer: Recommendation) -> Any:
    """Return the figure that `draw_recommendation` writes."""
    import matplotlib as mpl

    with mpl.rc_context(TYPE):
        figure = new_figure(16.0, 4.2)
        bottleneck, speedup, front = figure.subplots(1, 3)
        _draw_bottleneck(bottleneck, answer)
        _draw_speedup(speedup, answer)
        _draw_front(front, answer)
    return figure


def _draw_bottleneck(axes: Any, answer: Recommendation) -> None:
    unit, factor = scaled_unit(answer.unit, answer.choices[0].bottleneck)
    found = [choice.bottleneck * factor for choice in answer.choices]
    bounds = [choice.bound * factor for choice in answer.choices]
    _draw_pair(axes, answer, found, bounds, "best partition", "no partition is below")
    axes.set_ylabel(f"bottleneck [{mathtext(unit)}]")
    axes.set_ylim(bottom=0)
    axes.set_title(title_text(answer.name, _TITLE))


def _draw_speedup(axes: Any, answer: Recommendation) -> None:
    found = [choice.speedup for choice in answer.choices]
    bounds = [choice.most for choice in answer.choices]
    _draw_pair(axes, answer, found, bounds, "best partition", "no partition is above")
    ks = [choice.stages for choice in answer.choices]
    axes.plot(ks, ks, color="#bbbbbb", linestyle=":", label="one for each stage", zorder=1)
    axes.set_ylabel("throughput over one stage")
    axes.set_ylim(0, 1.15 * max(bounds))
    knee = answer.knee
    end = "proven optimal" if knee.gap == 0 else f"at most {percent(knee.gap)} can still be gained"
    axes.set_title(f"{counted(knee.stages, 'stage gives', 'stages give')} {knee.speedup:.2f}x, {end}")
    axes.legend(loc="upper left", fontsize="small", frameon=False)


def _draw_front(axes: Any, answer: Recommendation) -> None:
    """Draw throughput against the latency of one inference, and which numbers of stages nothing beats in both."""
    unit, factor = scaled_unit(answer.unit, answer.choices[0].latency)
    points = [(choice.latency * factor, choice.speedup, choice.stages) for choice in answer.choices]
    front = [
        point
        for point in points
        if not any(other[0] <= point[0] and other[1] >= point[1] and other[:2] != point[:2] for other in points)
    ]
    front.sort()
    latencies, speedups, _ = zip(*front, strict=True)
    axes.step(latencies, speedups, where="post", color=_BOUND, linewidth=1.6, label="nothing found is better in both")
    axes.scatter([x for x, _, _ in points], [y for _, y, _ in points], color=_FOUND, zorder=3)
    for x, y, k in points:
        axes.annotate(f"k = {k}", (x, y), textcoords="offset points", xytext=(5, -10), fontsize="small")
    axes.set_xlabel(f"latency of one inference [{mathtext(unit)}]")
    axes.set_ylabel("throughput over one stage")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_title("Latency and throughput")
    axes.grid(alpha=0.25)
    axes.legend(loc="lower left", fontsize="small", frameon=False)


def _draw_pair(
    axes: Any, answer: Recommendation, found: list[float], bounds: list[float], found_label: str, bound_label: str
) -> None:
    from matplotlib.ticker import MaxNLocator

    ks = [choice.stages for choice in answer.choices]
    axes.fill_between(ks, found, bounds, color=_BOUND, alpha=0.12, linewidth=0, label="open")
    # The bound is drawn wide and below, so that it shows where both are the same.
    axes.plot(ks, bounds, color=_BOUND, linestyle="--", linewidth=2.6, marker="_", markersize=11, label=bound_label)
    axes.plot(ks, found, color=_FOUND, linewidth=1.2, marker="o", markersize=4, label=found_label)
    knee = answer.knee
    axes.plot(
        [knee.stages],
        [found[answer.choices.index(knee)]],
        linestyle="none",
        marker="o",
        markersize=11,
        markerfacecolor="none",
        markeredgecolor=_KNEE,
        markeredgewidth=1.6,
        label="knee",
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(ks[0] - 0.5, ks[-1] + 0.5)
    axes.set_xlabel("number of stages")
    axes.grid(alpha=0.25)
    axes.legend(loc="best", fontsize="small", frameon=False)

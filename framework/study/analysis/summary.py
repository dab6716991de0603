"""Summaries of groups of runs: ratios, closing factors, shares, times, wins and losses."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from framework.bounds import PROVEN_GAP
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.study.analysis.data import UNKNOWN, Flags, StudyData

SHIFT_SECONDS = 1.0
"""Shift of geometric means of times, so that differences between milliseconds do not rule them."""
SIZE_CLASSES = (100, 300, 1000, 3000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One entry on one group of runs.

    Attributes
    ----------
    runs, failed
        Runs with a result; runs without.
    ratio
        Geometric mean of dual bound / virtual best incumbent.
    simple_ratio
        The same for the bound that every run starts from, on the same runs.
    own
        Share of runs in which the entry itself proved more than that bound.
    closing
        (1 - simple ratio) / (1 - ratio); inf where every bound equals the best incumbent.
    quality
        Geometric mean of incumbent / virtual best incumbent.
    proven
        Share of runs whose own interval is closed to `framework.bounds.PROVEN_GAP`.
    median_seconds, mean_seconds, largest_seconds
        Median, shifted geometric mean and largest time.
    wins, losses
        Comparisons with every other entry on the same problem, by dual bound; ties are neither.
    dual_integral, primal_integral
        Mean over runs of the integral of the gap to the virtual best over the budget, in seconds; None unless
        trajectories were read.
    """

    label: str
    runs: int
    failed: int
    ratio: float | None
    simple_ratio: float | None
    own: float | None
    closing: float | None
    quality: float | None
    proven: float | None
    median_seconds: float | None
    mean_seconds: float | None
    largest_seconds: float | None
    wins: int
    losses: int
    dual_integral: float | None = None
    primal_integral: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group of runs (a number of stages, a family, ...) with one summary an entry, in the order of the spec."""

    title: str
    summaries: tuple[Summary, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Integrals:
    """Per run, in seconds; NaN where a run has no result."""

    dual: FloatArray
    primal: FloatArray


def ratios(value: IntArray, best: IntArray) -> FloatArray:
    """Return value / best, NaN where either is unknown; 1 where the best is 0."""
    known = (value != UNKNOWN) & (best != UNKNOWN)
    with np.errstate(divide="ignore", invalid="ignore"):
        quotient = np.where(best == 0, 1.0, value / best)
    return np.where(known, quotient, np.nan)


def proven(data: StudyData) -> Flags:
    """Return which runs closed their own interval to `framework.bounds.PROVEN_GAP`."""
    known = (data.dual != UNKNOWN) & (data.incumbent != UNKNOWN)
    # Exact in integers: (incumbent - dual) / incumbent <= PROVEN_GAP.
    closed: Flags = (data.incumbent - data.dual) * round(1 / PROVEN_GAP) <= data.incumbent
    both: Flags = known & closed
    return both


def geometric_mean(values: FloatArray, shift: float = 0.0) -> float | None:
    """Return the (shifted) geometric mean; None of nothing, 0 if a value is 0."""
    if not len(values):
        return None
    with np.errstate(divide="ignore"):
        return float(np.exp(np.mean(np.log(values + shift)))) - shift


def closing_factor(simple_ratio: float | None, ratio: float | None) -> float | None:
    """Return (1 - simple ratio) / (1 - ratio), inf where the gap is closed wholly."""
    if simple_ratio is None or ratio is None:
        return None
    if ratio >= 1.0:
        return math.inf if simple_ratio < 1.0 else 1.0
    return (1.0 - simple_ratio) / (1.0 - ratio)


def summarise(
    data: StudyData, group_of: IntArray, titles: list[str], integrals: Integrals | None = None
) -> list[Group]:
    """Summarise every entry on every group.

    Parameters
    ----------
    group_of
        ``[runs]`` index into `titles`; -1 leaves a run out. Runs outside the plan are left out as well.
    """
    width = len(data.labels)
    cell = np.where(data.planned & (group_of >= 0), group_of * width + data.label, -1)
    order = np.argsort(cell, kind="stable")
    starts = np.searchsorted(cell[order], np.arange(len(titles) * width + 1))
    closed, ratio, simple = proven(data), ratios(data.dual, data.best), ratios(data.simple, data.best)
    quality = ratios(data.incumbent, data.best)
    wins, losses = wins_and_losses(data, group_of, len(titles))
    groups = []
    for g, title in enumerate(titles):
        summaries = []
        for label in range(width):
            rows = order[starts[g * width + label] : starts[g * width + label + 1]]
            if not len(rows):
                continue
            done = rows[data.done[rows]]
            known = done[~np.isnan(ratio[done]) & ~np.isnan(simple[done])]
            mean, start = geometric_mean(ratio[known]), geometric_mean(simple[known])
            seconds = data.seconds[done]
            summaries.append(
                Summary(
                    label=data.labels[label],
                    runs=len(done),
                    failed=len(rows) - len(done),
                    ratio=mean,
                    simple_ratio=start,
                    own=_mean(data.own[done] > data.simple[done]),
                    closing=closing_factor(start, mean),
                    quality=geometric_mean(quality[done][~np.isnan(quality[done])]),
                    proven=_mean(closed[done]),
                    median_seconds=float(np.median(seconds)) if len(done) else None,
                    mean_seconds=geometric_mean(seconds, SHIFT_SECONDS),
                    largest_seconds=float(seconds.max()) if len(done) else None,
                    wins=int(wins[g, label]),
                    losses=int(losses[g, label]),
                    dual_integral=None if integrals is None else _mean(integrals.dual[done]),
                    primal_integral=None if integrals is None else _mean(integrals.primal[done]),
                )
            )
        if summaries:
            groups.append(Group(title=title, summaries=tuple(summaries)))
    return groups


def wins_and_losses(data: StudyData, group_of: IntArray, groups: int) -> tuple[IntArray, IntArray]:
    """Count, for every group and entry, comparisons won and lost by dual bound; two arrays ``[groups, labels]``.

    Runs are compared with runs of other entries on the same problem with the same seed.
    """
    width = len(data.labels)
    wins = np.zeros((groups, width), np.int64)
    losses = np.zeros_like(wins)
    chosen = np.flatnonzero(data.answered & (group_of >= 0) & (data.pair >= 0))
    if not len(chosen):
        return wins, losses
    axes = np.stack((data.pair[chosen], data.seed[chosen]), axis=1)
    row = np.unique(axes, axis=0, return_inverse=True)[1].reshape(-1)
    table = np.full((int(row.max()) + 1, width), -2, np.int64)
    table[row, data.label[chosen]] = data.dual[chosen]
    group_of_row = np.zeros(len(table), np.int64)
    group_of_row[row] = group_of[chosen]
    for a in range(width):
        for b in range(width):
            both = (table[:, a] >= UNKNOWN) & (table[:, b] >= UNKNOWN)
            better = both & (table[:, a] > table[:, b])
            wins[:, a] += np.bincount(group_of_row[better], minlength=groups)
            losses[:, b] += np.bincount(group_of_row[better], minlength=groups)
    return wins, losses


def by_stages(data: StudyData) -> tuple[IntArray, list[str]]:
    """Group runs by collection, device and number of stages; the title names what there is more than one of."""
    keys = np.stack((data.collection, data.device, data.stages), axis=1)
    several = [len(np.unique(keys[data.planned, column])) > 1 for column in (0, 1)]

    def title(key: list[int]) -> str:
        words = [data.collections[key[0]]] * several[0] + [data.devices[key[1]]] * several[1]
        return ", ".join([*words, f"k = {key[2]}"])

    return _grouped(data, keys, title)


def by_family(data: StudyData) -> tuple[IntArray, list[str]]:
    """Group runs by the family of their graph."""
    families = sorted({graph.family for graph in data.graphs})
    of_graph = np.array([families.index(graph.family) for graph in data.graphs], np.int64)
    return (of_graph[data.graph] if data.count else np.zeros(0, np.int64)), families


def by_size(data: StudyData) -> tuple[IntArray, list[str]]:
    """Group runs by the number of nodes of their graph."""
    nodes = np.array([graph.nodes for graph in data.graphs], np.int64)
    edges = [0, *SIZE_CLASSES]
    titles = [f"{low + 1} to {high} nodes" for low, high in zip(edges, SIZE_CLASSES, strict=False)]
    titles.append(f"more than {SIZE_CLASSES[-1]} nodes")
    of_graph = np.searchsorted(np.array(SIZE_CLASSES), nodes)
    return (of_graph[data.graph] if data.count else np.zeros(0, np.int64)), titles


def everything(data: StudyData) -> tuple[IntArray, list[str]]:
    """Put all runs into one group."""
    return np.zeros(data.count, np.int64), ["all"]


def _grouped(data: StudyData, keys: IntArray, title: Callable[[list[int]], str]) -> tuple[IntArray, list[str]]:
    if not data.planned.any():
        return np.full(data.count, -1, np.int64), []
    distinct, index = np.unique(keys[data.planned], axis=0, return_inverse=True)
    groups = np.full(data.count, -1, np.int64)
    groups[data.planned] = index.reshape(-1)
    return groups, [title(key) for key in distinct.tolist()]


def _mean(values: FloatArray | Flags) -> float | None:
    return float(np.mean(values)) if len(values) else None

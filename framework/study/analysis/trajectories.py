"""Bounds over time: primal and dual integrals, and gap-over-time curves, from all trajectories at once."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import numpy as np

from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.study.analysis.data import UNKNOWN, Flags, StudyData
from framework.study.analysis.summary import Integrals

CURVE_POINTS = 48
FIRST_SECOND = 0.01


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trajectories:
    """All trajectories as arrays, one element a point, sorted by run and time.

    Attributes
    ----------
    run
        Index of the run in the arrays of `StudyData`.
    seconds
        Since the run began.
    dual_gap, primal_gap
        (best - dual) / best and (incumbent - best) / incumbent from that time on, in [0, 1]; 1 while unknown.
    starts
        ``[runs + 1]`` where each run's points begin.
    """

    run: IntArray
    seconds: FloatArray
    dual_gap: FloatArray
    primal_gap: FloatArray
    starts: IntArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curve:
    """Mean gaps of one entry over time; three arrays of the same length."""

    label: str
    seconds: FloatArray
    dual_gap: FloatArray
    primal_gap: FloatArray


def read_trajectories(connection: sqlite3.Connection, data: StudyData) -> Trajectories:
    """Read the trajectories of the runs of `data`, which must come from the same snapshot."""
    rows = connection.execute(
        "SELECT run_id, seconds, coalesce(dual, -1), coalesce(incumbent, -1) FROM trajectory ORDER BY run_id, step"
    ).fetchall()
    run_ids, seconds, duals, incumbents = zip(*rows, strict=True) if rows else ((), (), (), ())
    run = np.searchsorted(data.run_id, np.array(run_ids, np.int64))
    dual, incumbent = np.array(duals, np.int64), np.array(incumbents, np.int64)
    best = data.best[run] if len(run) else np.zeros(0, np.int64)
    return Trajectories(
        run=run,
        seconds=np.array(seconds, np.float64),
        dual_gap=_gap(best - dual, best, (dual == UNKNOWN) | (best == UNKNOWN)),
        primal_gap=_gap(incumbent - best, incumbent, (incumbent == UNKNOWN) | (best == UNKNOWN)),
        starts=np.searchsorted(run, np.arange(data.count + 1)),
    )


def integrals(data: StudyData, points: Trajectories) -> Integrals:
    """Integrate both gaps of every run over its budget; the gap is 1 before the first point.

    The primal integral is Berthold's (2013), with the virtual best incumbent in place of the optimum; the dual
    integral is its mirror image.
    """
    horizon = data.budget[points.run] if len(points.run) else np.zeros(0)
    following = np.append(points.seconds[1:], 0.0)[: len(points.run)]
    last = np.zeros(len(points.run), bool)
    last[points.starts[1:][np.diff(points.starts) > 0] - 1] = True
    until = np.minimum(np.where(last, horizon, following), horizon)
    spans = np.maximum(until - np.minimum(points.seconds, horizon), 0.0)
    has_points = np.diff(points.starts) > 0
    first = np.zeros(data.count)
    first[has_points] = points.seconds[points.starts[:-1][has_points]]
    before = np.where(has_points, np.minimum(first, data.budget), data.budget)

    def integral(gap: FloatArray) -> FloatArray:
        sums = np.bincount(points.run, weights=gap * spans, minlength=data.count)
        return np.where(data.done, sums + before, np.nan)

    return Integrals(dual=integral(points.dual_gap), primal=integral(points.primal_gap))


def curves(data: StudyData, points: Trajectories) -> list[Curve]:
    """Return the mean gaps of every entry at logarithmically spaced times up to the largest budget."""
    chosen = data.answered
    if not chosen.any():
        return []
    times = np.geomspace(FIRST_SECOND, max(float(data.budget[chosen].max()), 2 * FIRST_SECOND), CURVE_POINTS)
    # One search for all runs and times: the keys run * span + seconds ascend.
    span = max(float(points.seconds.max(initial=0.0)), float(times[-1])) + 1.0
    keys = points.run * span + np.minimum(points.seconds, span - 0.5)
    result = []
    for label, name in enumerate(data.labels):
        runs = np.flatnonzero(chosen & (data.label == label))
        if not len(runs):
            continue
        wanted = runs[:, None] * span + times[None, :]
        at = np.searchsorted(keys, wanted, side="right") - 1
        begun = at >= points.starts[runs][:, None]
        at = np.maximum(at, 0)
        result.append(
            Curve(
                label=name,
                seconds=times,
                dual_gap=_mean_where(points.dual_gap, at, begun),
                primal_gap=_mean_where(points.primal_gap, at, begun),
            )
        )
    return result


def _mean_where(gap: FloatArray, at: IntArray, begun: Flags) -> FloatArray:
    values = np.where(begun, gap[at] if len(gap) else 1.0, 1.0)
    mean: FloatArray = values.mean(axis=0)
    return mean


def _gap(difference: IntArray, whole: IntArray, unknown: Flags) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.where(whole > 0, difference / whole, 0.0)
    return np.where(unknown, 1.0, np.clip(gap, 0.0, 1.0))

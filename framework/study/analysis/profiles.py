"""Performance profiles: how many problems an entry solves within a factor of the fastest, and within a gap."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.study.analysis.data import StudyData
from framework.study.analysis.summary import proven, ratios

LARGEST_FACTOR = 1000.0
SMALLEST_GAP = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """A non-decreasing step function: the share `y` of runs that need at most `x`."""

    label: str
    x: FloatArray
    y: FloatArray


def time_profiles(data: StudyData) -> list[Profile]:
    """Return, for every entry, the share of problems it proved optimal within x times the fastest proof.

    As Dolan and More (2002); runs with the same problem and seed are compared, and problems that no entry proved
    count as unsolved by all.
    """
    chosen = np.flatnonzero(data.answered & (data.pair >= 0))
    if not len(chosen):
        return []
    axes = np.stack((data.pair[chosen], data.seed[chosen]), axis=1)
    row = np.unique(axes, axis=0, return_inverse=True)[1].reshape(-1)
    seconds = np.where(proven(data)[chosen], np.maximum(data.seconds[chosen], 1e-3), np.inf)
    fastest = np.full(int(row.max()) + 1, np.inf)
    np.minimum.at(fastest, row, seconds)
    with np.errstate(invalid="ignore"):
        factor = np.where(np.isfinite(seconds), seconds / fastest[row], np.inf)
    return _profiles(data, chosen, factor, 1.0, LARGEST_FACTOR)


def gap_profiles(data: StudyData) -> list[Profile]:
    """Return, for every entry, the share of runs whose dual bound is within x of the virtual best incumbent."""
    chosen = np.flatnonzero(data.answered)
    gap = 1.0 - ratios(data.dual, data.best)[chosen]
    gap = np.where(np.isnan(gap), np.inf, np.maximum(gap, SMALLEST_GAP))
    return _profiles(data, chosen, gap, SMALLEST_GAP, 1.0)


def _profiles(data: StudyData, chosen: IntArray, need: FloatArray, low: float, high: float) -> list[Profile]:
    result = []
    for label, name in enumerate(data.labels):
        values = np.sort(need[data.label[chosen] == label])
        if not len(values):
            continue
        # At most a few hundred corners: more cannot be seen.
        x = np.unique(np.concatenate(([low, high], np.geomspace(low, high, 240))))
        y = np.searchsorted(values, x * (1 + 1e-12), side="right") / len(values)
        result.append(Profile(label=name, x=x, y=y))
    return result

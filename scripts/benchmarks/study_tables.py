"""Tables of studies: run what is missing of a study, then sum it up by number of stages."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import geometric_mean

import numpy as np
from figures import ROOT, Figures

from framework.report.numbers import ratio
from framework.report.study.columns import factor, share
from framework.study.analysis.data import UNKNOWN, StudyData, read_study
from framework.study.analysis.summary import Group, Summary, summarise
from framework.study.spec import read_spec

CLOSED = 1e-4
"""Relative difference below which two values count as equal, as a gap that small counts as proven."""


def bounds(study: str) -> Sequence[Figures]:
    """Return what the only entry of a study proves: a column for each number of stages."""
    groups = groups_of(study)
    columns = [group.summaries[0] for group in groups]
    rows = (
        ("bound / best partition, geometric mean", *(ratio(column.ratio) for column in columns)),
        ("simple bound / the same", *(ratio(column.simple_ratio) for column in columns)),
        ("gap closed", *(f"{factor(column.closing)}-fold" for column in columns)),
        ("proven within 1e-4", *(share(column.proven) for column in columns)),
    )
    return (Figures(name="ratios", title=study, columns=("", *(group.title for group in groups)), rows=rows),)


def partitions(study: str) -> Sequence[Figures]:
    """Return how far the partitions of each entry are from the best, as geometric means of incumbent / best."""
    return (_by_entry("partitions", study, lambda row: "-" if row.quality is None else f"{row.quality:.5f}"),)


def proofs(study: str) -> Sequence[Figures]:
    """Return how many pairs each entry proves, and geometric means of bound / best."""

    def cell(row: Summary) -> str:
        proven = round((row.proven or 0.0) * row.runs)
        return f"{proven} of {row.runs}, {row.ratio or 0.0:.5f}"

    return (_by_entry("proofs", study, cell),)


def behind(study: str) -> Sequence[Figures]:
    """Return where the first entry of a study is behind another one, whose bound is higher or partition cheaper.

    A row for each set of graphs, number of stages and other entry; gaps below 1e-4 count as closed.
    """
    data = read_study(_run(study))
    first = data.answered & (data.label == 0)
    row_of = {pair: i for i, pair in zip(np.flatnonzero(first).tolist(), data.pair[first].tolist(), strict=True)}
    rows = []
    for collection, stages, label in itertools.product(
        range(len(data.collections)), np.unique(data.stages[data.planned]).tolist(), range(1, len(data.labels))
    ):
        others = data.answered & (data.collection == collection) & (data.stages == stages) & (data.label == label)
        met = [(row_of[pair], i) for i in np.flatnonzero(others).tolist() if (pair := int(data.pair[i])) in row_of]
        if met:
            where = (data.collections[collection], str(stages), f"`{data.labels[label]}`")
            rows.append((*where, *_compare(data, met)))
    columns = ("graphs", "k", "beside", "pairs", "bound / best", "its own", "behind in the bound", "in the partition")
    return (Figures(name="behind", title=study, columns=columns, rows=tuple(rows)),)


def _compare(data: StudyData, met: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """Return the number of pairs, the mean bound of both entries, and the graphs where the first one is behind."""
    ratios: tuple[list[float], list[float]] = ([], [])
    names: tuple[list[str], list[str]] = ([], [])
    for i, j in met:
        best, name = int(data.best[i]), data.graphs[data.graph[i]].name
        bound, other = max(1, data.dual[i]) / best, max(1, data.dual[j]) / best
        ratios[0].append(bound)
        ratios[1].append(other)
        if other - bound > CLOSED and bound < 1 - CLOSED:
            names[0].append(f"{name} {bound:.4f} < {other:.4f}")
        if data.incumbent[j] != UNKNOWN and data.incumbent[i] - data.incumbent[j] > CLOSED * best:
            names[1].append(f"{name} {data.incumbent[i] / best:.4f} > {data.incumbent[j] / best:.4f}")
    means = (f"{geometric_mean(some):.4f}" for some in ratios)
    return (str(len(met)), *means, *("; ".join(some) or "never" for some in names))


def _by_entry(name: str, study: str, cell: Callable[[Summary], str]) -> Figures:
    groups = groups_of(study)
    labels = [row.label for row in groups[0].summaries]
    rows = tuple((f"`{label}`", *(cell(group.summaries[i]) for group in groups)) for i, label in enumerate(labels))
    return Figures(name=name, title=study, columns=("", *(group.title for group in groups)), rows=rows)


def groups_of(study: str) -> list[Group]:
    """Run what is missing of a study; return a group for each number of stages."""
    data = read_study(_run(study))
    stages = np.unique(data.stages[data.planned])
    numbers = np.where(data.planned, np.searchsorted(stages, data.stages), -1)
    return summarise(data, numbers, [f"k = {k}" for k in stages])


def _run(study: str) -> Path:
    """Run what is missing of a study; return its store."""
    path = Path(study) if Path(study).is_absolute() else ROOT / study
    subprocess.run([sys.executable, "-m", "framework", "study", "run", str(path)], check=True, cwd=ROOT)
    return read_spec(path).store

"""Tables of studies: run what is missing of a study, then sum it up by number of stages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from figures import ROOT, Figures

from framework.report.numbers import ratio
from framework.report.study.columns import factor, share
from framework.study.analysis.data import read_study
from framework.study.analysis.summary import Group, Summary, summarise
from framework.study.spec import read_spec


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


def _by_entry(name: str, study: str, cell: Callable[[Summary], str]) -> Figures:
    groups = groups_of(study)
    labels = [row.label for row in groups[0].summaries]
    rows = tuple((f"`{label}`", *(cell(group.summaries[i]) for group in groups)) for i, label in enumerate(labels))
    return Figures(name=name, title=study, columns=("", *(group.title for group in groups)), rows=rows)


def groups_of(study: str) -> list[Group]:
    """Run what is missing of a study; return a group for each number of stages."""
    path = Path(study) if Path(study).is_absolute() else ROOT / study
    subprocess.run([sys.executable, "-m", "framework", "study", "run", str(path)], check=True, cwd=ROOT)
    data = read_study(read_spec(path).store)
    stages = np.unique(data.stages[data.planned])
    numbers = np.where(data.planned, np.searchsorted(stages, data.stages), -1)
    return summarise(data, numbers, [f"k = {k}" for k in stages])

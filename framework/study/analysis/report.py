"""Everything a report shows, computed once from one snapshot of the store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from framework.shown import Shown
from framework.study.analysis.crosscheck import Contradiction, cross_check
from framework.study.analysis.data import StudyData, load, reading
from framework.study.analysis.profiles import Profile, gap_profiles, time_profiles
from framework.study.analysis.summary import Group, by_family, by_size, by_stages, everything, summarise
from framework.study.analysis.trajectories import Curve, curves, integrals, read_trajectories
from framework.wording import counted

LISTED_FAULTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A run without a result, or a member that failed within one."""

    graph: str
    stages: int
    entry: str
    member: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False, repr=False)
class StudyReport(Shown):
    """A study's results.

    Attributes
    ----------
    contradictions
        All of them, worst first; any is a bug.
    overall, stages, families, sizes
        Summaries of all runs, and by number of stages, family and number of nodes.
    faults, fault_count
        The first `LISTED_FAULTS`, and how many there are.
    overhead
        What the study added to solving, as a share of it.
    """

    data: StudyData
    contradictions: list[Contradiction]
    overall: list[Group]
    stages: list[Group]
    families: list[Group]
    sizes: list[Group]
    time_profiles: list[Profile]
    gap_profiles: list[Profile]
    curves: list[Curve]
    faults: list[Fault]
    fault_count: int
    overhead: float | None

    def __repr__(self) -> str:
        done, planned = int(self.data.planned.sum()), sum(self.data.plan_counts.values())
        return f"<StudyReport {self.data.name}: {done} of {counted(planned, 'run')}>"


def make_report(path: Path, collection: str | None = None) -> StudyReport:
    """Analyse a store, also while a study writes to it.

    Parameters
    ----------
    collection
        A testbed subset, or ``graphs``, to report on its runs only; contradictions and faults are those of all runs.

    Raises
    ------
    UserError
        If there is no store, it is of another version, or its plan has no such collection.
    """
    with reading(path) as connection:
        data = load(connection, path, collection)
        points = read_trajectories(connection, data)
        sums = integrals(data, points)
        faults = [
            Fault(graph=graph, stages=stages, entry=entry, member=member, detail=detail)
            for graph, stages, entry, member, detail in connection.execute(
                "SELECT graphs.name, runs.stages, entries.entry, member, faults.detail FROM faults JOIN runs ON"
                " runs.id = run_id JOIN graphs ON graphs.id = graph_id JOIN entries ON entries.id = entry_id"
                " UNION ALL SELECT graphs.name, runs.stages, entries.entry, 'the run', error FROM runs JOIN graphs ON"
                " graphs.id = graph_id JOIN entries ON entries.id = entry_id WHERE state = 'failed'"
            )
        ]
        return StudyReport(
            data=data,
            contradictions=cross_check(connection, data),
            overall=summarise(data, *everything(data), sums),
            stages=summarise(data, *by_stages(data), sums),
            families=summarise(data, *by_family(data)),
            sizes=summarise(data, *by_size(data)),
            time_profiles=time_profiles(data),
            gap_profiles=gap_profiles(data),
            curves=curves(data, points),
            faults=faults[:LISTED_FAULTS],
            fault_count=len(faults),
            overhead=_overhead(data),
        )


def _overhead(data: StudyData) -> float | None:
    done = data.answered
    solving = float(np.sum(data.seconds[done]))
    return (float(np.sum(data.wall[done])) - solving) / solving if solving > 0 else None

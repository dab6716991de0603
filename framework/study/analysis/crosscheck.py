"""Every dual bound against every incumbent of the same problem: a bound above one is the worst bug there is."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import numpy as np

from framework.study.analysis.data import UNKNOWN, StudyData


@dataclass(frozen=True, slots=True, kw_only=True)
class Contradiction:
    """A dual bound above a verified incumbent of the same problem.

    Attributes
    ----------
    graph, stages
        The problem.
    entry, source, soundness
        Who claimed the bound: the entry that ran, the member that reported, and with what soundness.
    bound, incumbent
        Ticks.
    witness
        The entry whose run found the incumbent.
    noticed
        Whether the run noticed it by itself; otherwise the bound stands in another run than the incumbent.
    """

    graph: str
    stages: int
    entry: str
    source: str
    soundness: str
    bound: int
    incumbent: int
    witness: str
    noticed: bool

    @property
    def excess(self) -> float:
        """(bound - incumbent) / incumbent."""
        return (self.bound - self.incumbent) / max(1, self.incumbent)


def cross_check(connection: sqlite3.Connection, data: StudyData) -> list[Contradiction]:
    """Return all contradictions among all runs of the store, also those outside the plan, worst first."""
    witness: dict[int, int] = {}
    for run in np.flatnonzero((data.pair >= 0) & (data.incumbent != UNKNOWN) & (data.incumbent == data.best)).tolist():
        witness.setdefault(int(data.pair[run]), run)
    found = []
    rows = connection.execute("SELECT run_id, ticks FROM bounds").fetchall()
    ids, ticks = (np.array(column, np.int64) for column in (zip(*rows, strict=True) if rows else ((), ())))
    runs = np.searchsorted(data.run_id, ids)
    best = data.best[runs] if len(runs) else ids
    suspects = np.unique(ids[(best != UNKNOWN) & (ticks > best)]).tolist()
    for run_id in suspects:
        run = int(np.searchsorted(data.run_id, run_id))
        bounds = connection.execute("SELECT source, ticks, soundness FROM bounds WHERE run_id = ?", (run_id,))
        found += [
            _contradiction(data, run, source, soundness, value, int(data.best[run]), witness[int(data.pair[run])])
            for source, value, soundness in bounds
            if value > data.best[run]
        ]
    quarantined = connection.execute("SELECT run_id, source, dual, incumbent, incumbent_source FROM contradictions")
    for run_id, source, dual, incumbent, incumbent_source in quarantined:
        run = int(np.searchsorted(data.run_id, run_id))
        graph = data.graphs[int(data.graph[run])]
        found.append(
            Contradiction(
                graph=graph.name,
                stages=int(data.stages[run]),
                entry=data.labels[int(data.label[run])],
                source=source,
                soundness="quarantined",
                bound=dual,
                incumbent=incumbent,
                witness=incumbent_source,
                noticed=True,
            )
        )
    return sorted(found, key=lambda case: -case.excess)


def _contradiction(
    data: StudyData, run: int, source: str, soundness: str, bound: int, incumbent: int, witness: int
) -> Contradiction:
    return Contradiction(
        graph=data.graphs[int(data.graph[run])].name,
        stages=int(data.stages[run]),
        entry=data.labels[int(data.label[run])],
        source=source,
        soundness=soundness,
        bound=bound,
        incumbent=incumbent,
        witness=f"{data.labels[int(data.label[witness])]} ({data.incumbent_source[witness]})",
        noticed=False,
    )

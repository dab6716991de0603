"""The best known partition of a graph of the testbed, for a run to start from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from framework.errors import UserError
from framework.model.graph import ModelGraph
from framework.records.files import read_records, records_path
from framework.records.pair import stages_of_runs
from framework.records.posing import check_digest
from framework.testbed.catalogue import bundled_graphs

TESTBED_RECORD = "testbed-record"
"""What stands for the best known partition where a result to start from is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedPartition:
    """A partition of the records.

    Attributes
    ----------
    stage_of
        The stage of each node, in the order of the graph.
    """

    stage_of: tuple[int, ...] | None


def recorded_partition(graph: ModelGraph, stages: int, folder: Path | None = None) -> RecordedPartition:
    """Return the best known partition of a graph of the testbed into a number of stages.

    Parameters
    ----------
    graph
        Known by its digest, wherever it was read from.
    folder
        Where the records are; those of the package by default.

    Raises
    ------
    UserError
        If the graph is not in the testbed, or there is no such partition.
    """
    digest = graph.named_sha256()
    row = next((row for row in bundled_graphs() if row.sha256 == digest), None)
    if row is None:
        raise UserError("there are records of graphs of the testbed only", where=graph.name, hint="give a result file")
    path = records_path(row.name, folder)
    pairs = {}
    if path.exists():
        records = read_records(path)
        check_digest(records)
        pairs = {k: pair.best for k, pair in records.pairs.items() if pair.best is not None}
    if stages not in pairs:
        known = f"there are records of {', '.join(map(str, pairs))} stages" if pairs else "give a result file"
        raise UserError(f"no partition into {stages} stages is recorded", where=row.name, hint=known)
    try:
        stage_of = stages_of_runs(pairs[stages].runs, graph)
    except ValueError as error:
        raise UserError(f"the partition into {stages} stages is damaged: {error}", where=str(path)) from None
    return RecordedPartition(stage_of=tuple(stage_of.tolist()))

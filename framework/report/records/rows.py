"""The records as rows, one a pair of graph and number of stages, with the pairs that nobody has recorded yet."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from framework.bounds import PROVEN_GAP
from framework.errors import UserError
from framework.formats import BUNDLED_SCHEME
from framework.records.files import read_records, recorded_names, records_path
from framework.records.pair import STAGES, GraphRecords, PairRecord
from framework.records.posing import check_digest, recordable_pairs
from framework.report.escape import csv_cell
from framework.testbed.catalogue import CatalogueRow, bundled_graphs, bundled_path


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordRow:
    """One pair; what is not known is None or empty.

    Attributes
    ----------
    graph, family, task, nodes, stages
        The pair.
    bound, bottleneck
        In seconds on the reference device, rounded to the nearest float: the ticks are exact.
    ratio
        bound / bottleneck.
    state
        ``optimal``, ``open`` or ``missing``.
    rests_on
        What the bound rests on.
    bound_source, partition_source, bound_date, partition_date, bound_version, partition_version
        What found them, when, and the version of pipebound.
    credit
        Who sent them, where that was not this project.
    log
        SHA-256 digest of the proof log.
    longest
        Seconds of the longest run of the pair.
    """

    graph: str
    family: str
    task: str
    nodes: int
    stages: int
    state: str
    bound: float | None = None
    bottleneck: float | None = None
    ratio: float | None = None
    bound_ticks: int | None = None
    bottleneck_ticks: int | None = None
    ticks_per_second: float | None = None
    rests_on: str = ""
    bound_source: str = ""
    bound_date: str = ""
    bound_version: str = ""
    partition_source: str = ""
    partition_date: str = ""
    partition_version: str = ""
    credit: str = ""
    log: str = ""
    longest: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return asdict(self)


def record_rows(
    graphs: Sequence[str] = (), stages: Collection[int] = (), *, only_open: bool = False, folder: Path | None = None
) -> list[RecordRow]:
    """Return the rows of the records, by graph and number of stages.

    Parameters
    ----------
    graphs
        Only these, with or without ``testbed:``; all where none is named.
    stages
        Only these numbers of stages.
    only_open
        Only pairs whose best partition is not proven optimal, and those without a record.
    folder
        Where the records are; those of the package by default.

    Raises
    ------
    UserError
        If there is no such graph or number of stages, or if a file is damaged or of another graph.
    """
    for k in stages:
        if k not in STAGES:
            raise UserError(f"there are no records of {k} stages", hint=f"choose from {', '.join(map(str, STAGES))}")
    names = [name.removeprefix(BUNDLED_SCHEME) for name in graphs]
    for name in names:
        bundled_path(name)
    catalogue = {row.name: row for row in bundled_graphs()}
    recorded = set(recorded_names(folder))
    for name in sorted(recorded - set(catalogue)):
        check_digest(read_records(records_path(name, folder)))
    rows: list[RecordRow] = []
    for name, numbers in recordable_pairs().items():
        if names and name not in names:
            continue
        records = None
        if name in recorded:
            records = read_records(records_path(name, folder))
            check_digest(records)
        rows += (_row(catalogue[name], k, records) for k in numbers if not stages or k in stages)
    return [row for row in rows if not only_open or row.state != "optimal"]


def _row(graph: CatalogueRow, stages: int, records: GraphRecords | None) -> RecordRow:
    pair = PairRecord(stages=stages) if records is None else records.pairs.get(stages, PairRecord(stages=stages))
    facts: dict[str, Any] = {
        "graph": graph.name,
        "family": graph.family,
        "task": graph.task,
        "nodes": graph.nodes,
        "stages": stages,
    }
    if records is None or (pair.best is None and pair.bound is None):
        return RecordRow(**facts, state="missing")
    facts |= {
        "state": "open" if pair.is_open else "optimal",
        "ratio": pair.interval.ratio,
        "ticks_per_second": records.ticks_per_second,
        "longest": pair.longest,
    }
    credits = []
    if pair.bound is not None:
        origin = pair.bound.origin
        credits.append(origin.credit)
        facts |= {
            "bound": records.seconds(pair.bound.ticks),
            "bound_ticks": pair.bound.ticks,
            "rests_on": pair.bound.words,
            "log": pair.bound.log,
        }
        facts |= {"bound_source": origin.source, "bound_date": origin.date, "bound_version": origin.version}
    if pair.best is not None:
        origin = pair.best.origin
        credits.append(origin.credit)
        facts |= {"bottleneck": records.seconds(pair.best.ticks), "bottleneck_ticks": pair.best.ticks}
        facts |= {"partition_source": origin.source, "partition_date": origin.date, "partition_version": origin.version}
    return RecordRow(**facts, credit=", ".join(dict.fromkeys(name for name in credits if name)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How far a set of pairs is.

    Attributes
    ----------
    pairs, optimal, nearly, missing
        Pairs; those proven optimal; those proven within `PROVEN_GAP`, the optimal ones too; those without a record.
    mean_ratio
        Geometric mean of bound / best over the recorded pairs; None without any.
    """

    pairs: int
    optimal: int
    nearly: int
    missing: int
    mean_ratio: float | None

    @property
    def open(self) -> int:
        """Recorded pairs that are not proven optimal."""
        return self.pairs - self.optimal - self.missing

    @staticmethod
    def of(rows: Iterable[RecordRow]) -> Standing:
        """Count rows."""
        rows = list(rows)
        ratios = [row.ratio for row in rows if row.ratio is not None]
        positive = ratios and min(ratios) > 0
        return Standing(
            pairs=len(rows),
            optimal=sum(row.state == "optimal" for row in rows),
            nearly=sum(ratio >= 1 - PROVEN_GAP for ratio in ratios),
            missing=sum(row.state == "missing" for row in rows),
            mean_ratio=math.exp(math.fsum(map(math.log, ratios)) / len(ratios)) if positive else None,
        )


def as_csv(rows: Iterable[RecordRow]) -> str:
    """Return rows as CSV with a line of headings."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([field.name for field in fields(RecordRow)])
    for row in rows:
        writer.writerow([csv_cell(value) if isinstance(value, str) else value for value in row.as_dict().values()])
    return out.getvalue()


def grouped(rows: Iterable[RecordRow], field: str) -> Mapping[Any, list[RecordRow]]:
    """Return rows by the value of one field, in the order in which values come first."""
    groups: dict[Any, list[RecordRow]] = {}
    for row in rows:
        groups.setdefault(getattr(row, field), []).append(row)
    return groups

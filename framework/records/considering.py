"""From a result document to the improved records of its graph; nothing is written here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.records.files import read_records, records_path
from framework.records.improving import Change, improved
from framework.records.offers import Circumstances, Offer, offer_of
from framework.records.pair import Evidence, GraphRecords, PairRecord
from framework.records.posing import PosedGraph, check_digest, faults_of_graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Considered:
    """What became of a result.

    Attributes
    ----------
    offer
        What of it counts.
    change
        What its pair takes from it.
    records
        The records of its graph with that.
    """

    offer: Offer
    change: Change
    records: GraphRecords


def current_records(posed: PosedGraph, folder: Path | None = None) -> GraphRecords:
    """Return the records of a graph, those without any pair where there is no file.

    Raises
    ------
    UserError
        If the file is damaged, or of another version of the graph or of its prices.
    """
    path = records_path(posed.name, folder)
    if not path.exists():
        return posed.no_records()
    records = read_records(path)
    check_digest(records)
    for fault in faults_of_graph(records, posed):
        raise UserError(fault, where=str(path), hint="remove the file, and fill it again")
    return records


def consider(document: Mapping[str, Any], posed: PosedGraph, records: GraphRecords, given: Circumstances) -> Considered:
    """Verify a result, and return what the records of its graph become with it.

    No log is written and checked where the recorded bound is as high, and has one already.

    Raises
    ------
    UserError
        As `offer_of`; a `ContradictionError` if a bound and a partition would contradict each other.
    """
    stages, claimed = document["stages"], document["dual_bound_ticks"]
    before = records.pairs.get(stages, PairRecord(stages=stages)) if isinstance(stages, int) else None
    bound = None if before is None else before.bound
    if bound is not None and bound.evidence is Evidence.LOG and isinstance(claimed, int) and bound.ticks >= claimed:
        given = replace(given, check_seconds=0.0)
    offer = offer_of(document, posed, given)
    change = improved(records.pairs.get(offer.stages, PairRecord(stages=offer.stages)), offer)
    return Considered(offer=offer, change=change, records=records.with_pair(change.pair))

"""The files of records, one small JSON document for each graph: ``framework/testbed/data/records``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from framework.bounds import Soundness
from framework.errors import UserError
from framework.fields import Fields, shown
from framework.formats.document import read_document
from framework.model.instance import MAX_STAGES
from framework.output_files import write_text
from framework.records.pair import DEVICE, BestPartition, Evidence, GraphRecords, Origin, PairRecord, ProvedBound
from framework.testbed.bundled import DATA

FORMAT, VERSION = "pipebound-records", 1
FOLDER = DATA / "records"
"""Where the records of the package are."""
SUFFIX = ".json"

_MOST_TICKS = (1 << 63) - 1
_HINT = "restore the file, or fill it again with scripts/records.py"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def records_path(name: str, folder: Path | None = None) -> Path:
    """Return the file of a graph's records, whether there is one or not."""
    return (folder or FOLDER) / f"{name}{SUFFIX}"


def recorded_names(folder: Path | None = None) -> list[str]:
    """Return the names of the graphs that there are records of, sorted."""
    return sorted(path.name.removesuffix(SUFFIX) for path in (folder or FOLDER).glob(f"*{SUFFIX}"))


def all_records(folder: Path | None = None) -> Iterator[GraphRecords]:
    """Yield the records of all graphs that there are some of, by name."""
    for name in recorded_names(folder):
        yield read_records(records_path(name, folder))


def read_records(path: Path) -> GraphRecords:
    """Read the records of one graph.

    Raises
    ------
    UserError
        If the file is missing or damaged, or if it is not of the graph that its name says.
    """
    top = read_document(path, format=FORMAT, version=VERSION, hint=_HINT)
    top.choice("device", [DEVICE])
    pairs: dict[int, PairRecord] = {}
    graph = top.text("graph")
    if f"{graph}{SUFFIX}" != path.name:
        raise top.error("graph", f"{shown(graph)} has its records in {graph[:200]}{SUFFIX}")
    scale = top.number("ticks_per_second", least=0.0)
    if not scale > 0.0:
        raise top.error("ticks_per_second", "0 is no scale")
    digests = _digest(top, "sha256"), _digest(top, "instance")
    for row in top.rows("pairs"):
        pair = _pair(row)
        if pairs and pair.stages <= max(pairs):
            raise row.error("stages", f"{pair.stages} comes after {max(pairs)}")
        pairs[pair.stages] = pair
    top.finish()
    return GraphRecords(graph=graph, sha256=digests[0], instance=digests[1], ticks_per_second=scale, pairs=pairs)


def records_text(records: GraphRecords) -> str:
    """Return the document of a graph's records as JSON text, a line for each bound and each partition."""
    head = {
        "format": FORMAT,
        "version": VERSION,
        "graph": records.graph,
        "sha256": records.sha256,
        "device": DEVICE,
        "instance": records.instance,
        "ticks_per_second": records.ticks_per_second,
    }
    lines = [f" {json.dumps(name)}: {json.dumps(value)}" for name, value in head.items()]
    pairs = ",\n".join(_pair_text(pair) for pair in records.pairs.values())
    return ",\n".join(["{\n" + lines[0], *lines[1:], f' "pairs": [\n{pairs}\n ]\n}}\n'])


def write_records(records: GraphRecords, folder: Path | None = None) -> Path:
    """Write the records of a graph so that a reader sees the old file or the whole new one; return its path.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    path = records_path(records.graph, folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot be made: {error.strerror}", where=str(path.parent)) from error
    write_text(path, records_text(records), "cannot write the records")
    return path


def _pair_text(pair: PairRecord) -> str:
    """Return the JSON text of a pair; a change of a bound or of a partition changes its line alone."""
    facts = pair.as_dict()
    bounds = ",\n    ".join(json.dumps(bound) for bound in facts["bounds"])
    return (
        f'  {{"stages": {pair.stages}, "longest": {facts["longest"]}, "spent": {facts["spent"]},\n'
        f'   "bounds": [\n    {bounds}],\n   "best": {json.dumps(facts["best"])}}}'
    )


def _pair(row: Fields) -> PairRecord:
    best = None if row.null("best", absent=False) else _best(row.table("best"))
    pair = PairRecord(
        stages=row.integer("stages", least=1, most=MAX_STAGES),
        best=best,
        bounds=tuple(map(_bound, row.rows("bounds"))),
        longest=row.number("longest", least=0.0),
        spent=row.number("spent", least=0.0),
    )
    row.finish()
    for stronger, weaker in zip(pair.bounds[1:], pair.bounds, strict=False):
        if stronger.ticks >= weaker.ticks or stronger.strength <= weaker.strength:
            raise row.error("bounds", "they do not fall as what they rest on gets stronger")
    if best is not None and pair.bounds and pair.bounds[0].ticks > best.ticks:
        raise row.error("bounds", f"a dual bound of {pair.bounds[0].ticks} exceeds a partition of {best.ticks}")
    return pair


def _best(row: Fields) -> BestPartition:
    best = BestPartition(
        ticks=row.integer("ticks", least=0, most=_MOST_TICKS), runs=row.text("partition"), origin=_origin(row)
    )
    row.finish()
    return best


def _bound(row: Fields) -> ProvedBound:
    evidence = Evidence(row.choice("evidence", Evidence))
    bound = ProvedBound(
        ticks=row.integer("ticks", least=0, most=_MOST_TICKS),
        soundness=Soundness(row.choice("soundness", Soundness)),
        evidence=evidence,
        origin=_origin(row),
        log=_digest(row, "log") if evidence is Evidence.LOG else "",
    )
    row.finish()
    return bound


def _origin(row: Fields) -> Origin:
    date = row.text("date")
    if not _DATE.fullmatch(date):
        raise row.error("date", f"{shown(date)} is no date", "write YYYY-MM-DD")
    return Origin(
        source=row.text("source"), date=date, version=row.text("version"), credit=row.text("credit", "", empty=True)
    )


def _digest(fields: Fields, key: str) -> str:
    digest = fields.text(key)
    if not _DIGEST.fullmatch(digest):
        raise fields.error(key, f"{shown(digest)} is no SHA-256 digest")
    return digest

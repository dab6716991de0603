"""The runs of a store as CSV, Parquet and result files."""

from __future__ import annotations

import csv
import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.fields import check_values
from framework.formats.source import parse_json
from framework.input_files import size_limit
from framework.output_files import replacing
from framework.report.escape import csv_cell, file_name
from framework.study.analysis.data import reading

TABLES = {
    "runs": """
SELECT runs.key, coalesce(plan.label, entries.entry) AS label, entries.entry, plan.collection, graphs.name AS graph,
    graphs.sha256 AS graph_sha256, graphs.family, graphs.task, graphs.nodes, graphs.tensors, devices.name AS device,
    runs.stages, runs.seed, runs.budget, runs.state, runs.error, runs.attempts, runs.instance, runs.unit,
    runs.ticks_per_unit, runs.status, runs.reason, runs.limit_name, runs.detail, runs.dual, runs.dual_source,
    runs.soundness, runs.simple, runs.own, runs.incumbent, runs.incumbent_source, runs.seconds, runs.wall, runs.host,
    runs.finished_at, runs.code, environments.facts AS environment
FROM runs JOIN graphs ON graphs.id = runs.graph_id JOIN devices ON devices.id = runs.device_id
    JOIN entries ON entries.id = runs.entry_id LEFT JOIN environments ON environments.id = runs.environment_id
    LEFT JOIN plan ON plan.key = runs.key ORDER BY runs.id
""",
    "bounds": """
SELECT runs.key, source, ticks, bounds.soundness, bounds.seconds, certificate
FROM bounds JOIN runs ON runs.id = run_id ORDER BY run_id, ticks DESC
""",
    "trajectory": """
SELECT runs.key, step, trajectory.seconds, trajectory.dual, trajectory.incumbent, source
FROM trajectory JOIN runs ON runs.id = run_id ORDER BY run_id, step
""",
    "faults": "SELECT runs.key, member, faults.detail FROM faults JOIN runs ON runs.id = run_id ORDER BY run_id",
}
_CHUNK = 50_000
_INSTALL = "install the extra: pip install 'pipebound[parquet]'"


def export_table(store: Path, table: str, output: Path) -> int:
    """Write one of `TABLES` as ``.csv`` or ``.parquet`` and return the number of rows.

    Raises
    ------
    UserError
        For another suffix, a file that cannot be written, or Parquet without pyarrow.
    """
    writers: dict[str, Callable[[sqlite3.Cursor, Path], int]] = {".csv": _write_csv, ".parquet": _write_parquet}
    if output.suffix not in writers:
        raise UserError(
            f"cannot write a {output.suffix or 'file without a suffix'}",
            where=str(output),
            hint="end it in .csv or .parquet",
        )
    with reading(store) as connection:
        try:
            with replacing(output) as temporary:
                rows = writers[output.suffix](connection.execute(TABLES[table]), temporary)
        except OSError as error:
            raise UserError(f"cannot write it: {error.strerror or error}", where=str(output)) from error
    return rows


def export_results(store: Path, folder: Path) -> int:
    """Write the result document of every run, as `pipebound verify` reads it, and return how many."""
    written = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, key, document in stored_documents(store):
            file = folder / f"{file_name(name)}-{file_name(key[:8])}.json"
            file.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            written += 1
    except OSError as error:
        raise UserError(f"cannot write the results: {error.strerror}", where=str(folder)) from error
    return written


def stored_documents(store: Path) -> Iterator[tuple[str, str, Any]]:
    """Yield graph, stages and entry in one word, the key, and the result document of every run."""
    with reading(store) as connection:
        rows = connection.execute(
            "SELECT graphs.name, stages, entry, runs.key, document FROM documents JOIN runs ON runs.id = run_id"
            " JOIN graphs ON graphs.id = graph_id JOIN entries ON entries.id = entry_id"
        )
        for graph, stages, entry, key, packed in rows:
            yield f"{graph}-k{stages}-{entry}", key, _unpacked(packed, store, key)


def _unpacked(packed: bytes, store: Path, key: str) -> Any:
    """Return a packed document, bounded in size as files are."""
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, size_limit())
        if not unpacker.eof:
            raise ValueError("it is cut off, or larger than --max-input")
        document = parse_json(text, f"{store}: documents, run {key}")
    except (zlib.error, ValueError) as error:
        raise UserError(f"the document of run {key} is damaged: {error}", where=str(store)) from error
    check_values(document, f"{store}: documents, run {key}")
    return document


def _write_csv(cursor: sqlite3.Cursor, path: Path) -> int:
    count = 0
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([column[0] for column in cursor.description])
        for row in cursor:
            writer.writerow([csv_cell(value) if isinstance(value, str) else value for value in row])
            count += 1
    return count


def _write_parquet(cursor: sqlite3.Cursor, path: Path) -> int:
    try:
        pa: Any = import_module("pyarrow")
        pq: Any = import_module("pyarrow.parquet")
    except ImportError as error:
        raise UserError("pyarrow is not installed", hint=_INSTALL) from error
    names = [column[0] for column in cursor.description]
    schema = pa.schema([(name, _arrow_type(pa, name)) for name in names])
    count = 0
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        while rows := cursor.fetchmany(_CHUNK):
            columns = list(zip(*rows, strict=True))
            arrays = [pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            count += len(rows)
    return count


def _arrow_type(pa: Any, name: str) -> Any:
    """Types by name, not by the values found: a column of unknowns must not change its type."""
    if name in ("nodes", "tensors", "stages", "seed", "attempts", "step", "ticks"):
        return pa.int64()
    if name in ("dual", "simple", "own", "incumbent"):
        return pa.int64()
    return pa.float64() if name in ("budget", "seconds", "wall", "ticks_per_unit") else pa.string()

"""Whether a file holds a store that nothing damaged: tables, columns, the type of every cell, references, JSON.

SQLite keeps any value in any column, so readers that compute with cells would fail in the middle of a report.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from framework.errors import UserError

_TYPES = {"INTEGER": ("integer",), "REAL": ("real", "integer"), "TEXT": ("text",), "BLOB": ("blob",)}
_JSON = {("devices", "figures"): ("object", "null"), ("environments", "facts"): ("object",)}
"""Columns of JSON that reports read, and what they hold."""

_LARGEST = 1e300
_MEND = "restore it from a copy, or let `pipebound study run SPEC` make it anew"


class _Column(NamedTuple):
    name: str
    kind: str
    required: bool


def check_store(connection: sqlite3.Connection, path: Path) -> None:
    """Check a store that is open for reading.

    Raises
    ------
    UserError
        If something is missing in it, or a cell holds what no run could have written.
    """
    for table, columns in _schema().items():
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        missing = [column.name for column in columns if column.name not in found]
        if missing:
            what = f"the column {missing[0]} of its table {table}" if found else f"its table {table}"
            raise UserError(f"the store lacks {what}", where=str(path), hint=_MEND)
        _check_cells(connection, path, table, columns)
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        raise UserError(f"row {row} of {table} refers to a row that {parent} lacks", where=str(path), hint=_MEND)


@cache
def _schema() -> dict[str, tuple[_Column, ...]]:
    """Return the columns of all tables of `schema.sql`."""
    empty = sqlite3.connect(":memory:")
    empty.executescript(files("framework.study").joinpath("schema.sql").read_text("utf-8"))
    tables = [name for (name,) in empty.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    schema = {
        table: tuple(
            _Column(name, kind, bool(required) or bool(key))
            for _, name, kind, required, _, key in empty.execute(f"PRAGMA table_info({table})")
        )
        for table in tables
    }
    empty.close()
    return schema


def _check_cells(connection: sqlite3.Connection, path: Path, table: str, columns: tuple[_Column, ...]) -> None:
    conditions = {column.name: _is_wrong(table, column) for column in columns}
    names = ", ".join(conditions)
    row = connection.execute(f"SELECT {names} FROM {table} WHERE {' OR '.join(conditions.values())} LIMIT 1").fetchone()
    if row is None:
        return
    picked = ", ".join(f"({condition})" for condition in conditions.values())
    marks = ", ".join(f"? AS {name}" for name in conditions)
    verdicts = connection.execute(f"SELECT {picked} FROM (SELECT {marks})", row).fetchone()
    name, value = next((name, value) for name, value, bad in zip(conditions, row, verdicts, strict=True) if bad)
    shown = repr(value) if len(repr(value)) <= 40 else f"{repr(value)[:40]}..."
    raise UserError(f"the store's {table}.{name} is {shown}", where=str(path), hint=_MEND)


def _is_wrong(table: str, column: _Column) -> str:
    """Return the SQL condition under which a cell is wrong."""
    name = column.name
    types = [*_TYPES[column.kind], *(() if column.required else ("null",))]
    wrong = f"typeof({name}) NOT IN ({', '.join(repr(kind) for kind in types)})"
    if column.kind == "REAL":
        wrong += f" OR abs({name}) > {_LARGEST!r}"
    if (table, name) in _JSON:
        kinds = ", ".join(repr(kind) for kind in _JSON[table, name])
        wrong += f" OR CASE WHEN json_valid({name}) THEN json_type({name}) NOT IN ({kinds}) ELSE 1 END"
    return wrong

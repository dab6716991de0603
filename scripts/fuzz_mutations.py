"""Mutations of files and texts: of bytes, of numbers and words in text, of JSON, TOML and SQLite structure.

Every function takes a `random.Random` and returns the same result for the same state of it.
"""

from __future__ import annotations

import gzip
import json
import lzma
import re
import sqlite3
import zlib
from pathlib import Path
from random import Random
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    0,
    -1,
    1,
    2,
    4.7,
    -0.0,
    1e-320,
    1e308,
    -1e308,
    float("nan"),
    float("inf"),
    2**31,
    2**53 + 1,
    2**63,
    2**64 + 1,
    10**400,
    "",
    "0",
    "1e5",
    "nan",
    "[red]x[/]",
    "[/]",
    "$x$ \\frac{1",
    "a\nb",
    "a\x00b",
    "\u202e\ud7ff\U0001f600",
    "../../etc/passwd",
    "/dev/zero",
    "x" * 5000,
    None,
    True,
    False,
    [],
    {},
    [[]],
    [None],
    {"a": 1},
)
"""Values that a field should survive: numbers at the edges, markup, paths, other types."""

ODD_TOKENS = (
    b"",
    b"-",
    b"0",
    b"-1",
    b"9" * 30,
    b"1e309",
    b"4.7",
    b"NaN",
    b"Infinity",
    b"null",
    b"true",
    b'"',
    b"'",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\x00",
    b"\xff",
    b"\n",
    b"\xe2\x80\xae",
    b"\xed\xa0\x80",
    b"[red]",
    b"$x$",
    b"#",
    b"=",
    b",",
    b"\\",
)

_NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_.-]*")


def mutate_bytes(rng: Random, data: bytes) -> bytes:
    """Flip, cut, repeat, drop or insert bytes, without regard to what they mean."""
    for _ in range(rng.randint(1, 3)):
        start, length = rng.randint(0, len(data)), rng.choice((1, 2, 4, 12, 60, 400))
        kind = rng.randrange(6)
        if kind == 0 and data:
            position = rng.randrange(len(data))
            data = data[:position] + bytes([data[position] ^ 1 << rng.randrange(8)]) + data[position + 1 :]
        elif kind == 1:
            data = data[:start]
        elif kind == 2:
            data = data[: start + length] + data[start : start + length] * rng.choice((1, 3)) + data[start + length :]
        elif kind == 3:
            data = data[:start] + data[start + length :]
        elif kind == 4:
            data = data[:start] + rng.choice(ODD_TOKENS) + data[start + rng.choice((0, length)) :]
        else:
            data = data[:start] + rng.randbytes(min(length, 12)) + data[start + length :]
    return data


def mutate_text(rng: Random, data: bytes) -> bytes:
    """Change numbers, words and lines of a text file."""
    for _ in range(rng.randint(1, 3)):
        kind = rng.randrange(6)
        if kind < 2:
            data = _replace_match(rng, _NUMBER, data, _odd_bytes(rng))
        elif kind == 2:
            words = _WORD.findall(data)
            data = _replace_match(rng, _WORD, data, rng.choice([*words, *ODD_TOKENS]) if words else b"x")
        else:
            lines = data.split(b"\n")
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            if kind == 3:
                lines[i], lines[j] = lines[j], lines[i]
            elif kind == 4:
                del lines[i]
            else:
                lines.insert(j, lines[i])
            data = b"\n".join(lines)
    return data


def mutate_encoding(rng: Random, data: bytes) -> bytes:
    """Write the text in another encoding, with a byte order mark, other line ends or NUL bytes, or pack it."""
    text = data.decode("utf-8", "replace")
    kind = rng.randrange(9)
    if kind == 0:
        return text.encode("utf-16")
    if kind == 1:
        return b"\xef\xbb\xbf" + data
    if kind == 2:
        return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\x00\n", b"\xc2\x85")))
    if kind == 3:
        return text.encode("utf-32")
    if kind == 4:
        return rng.choice((b"", b" ", b"\n" * 1000, b"\x00" * 1000, b"[" * 100_000, b'{"a":' * 5000))
    if kind == 5:
        return data + data
    packed = gzip.compress(data, mtime=0) if kind == 6 else lzma.compress(data) if kind == 7 else zlib.compress(data)
    return mutate_bytes(rng, packed) if rng.random() < 0.6 else packed


def mutate_json(rng: Random, data: bytes) -> bytes:
    """Edit the structure of a JSON document: values, keys, elements, types."""
    document = json.loads(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        document = _edited(rng, document)
    text = json.dumps(document)
    if rng.random() < 0.03:
        text = text.replace("[]", "[" * 3000 + "]" * 3000, 1)
    return text.encode("utf-8", "surrogatepass")


def _edited(rng: Random, document: Any) -> Any:
    places = list(_places(document))
    if not places:
        return _odd(rng)
    numbers = [(holder, key) for holder, key in places if _is_number(holder[key])]
    if numbers and rng.random() < 0.35:
        # A number that could be true leads past the first checks.
        holder, key = rng.choice(numbers)
        value = holder[key]
        holder[key] = rng.choice((value + 1, max(value - 1, 0), value * 1000, value / 3, float(value), value * 10**9))
        return document
    holder, key = rng.choice(places)
    value, kind = holder[key], rng.randrange(9)
    if kind < 4:
        holder[key] = _odd(rng)
    elif kind == 4:
        del holder[key]
    elif kind == 5 and isinstance(holder, dict):
        holder[rng.choice(("", "x", f"{key} ", str(key).upper(), "[red]"))] = holder.pop(key)
    elif kind == 6:
        holder[key] = _other_type(rng, value)
    elif kind == 7:
        other, where = rng.choice(places)
        # A copy: a document that contains itself could not be written.
        holder[key] = json.loads(json.dumps(other[where]))
    elif isinstance(value, list):
        holder[key] = value * rng.choice((2, 50)) if rng.random() < 0.5 else rng.sample(value, len(value))
    else:
        holder[key] = _odd(rng)
    return document


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**64


def _places(document: Any) -> list[tuple[Any, Any]]:
    found, pending = [], [document]
    while pending:
        value = pending.pop()
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, child in inner:
            found.append((value, key))
            if isinstance(child, dict | list):
                pending.append(child)
    return found


def _other_type(rng: Random, value: Any) -> Any:
    if isinstance(value, dict):
        return list(value.values()) if rng.random() < 0.5 else json.dumps(value)[:200]
    if isinstance(value, list):
        return {str(i): item for i, item in enumerate(value)} if rng.random() < 0.5 else (value[0] if value else 0)
    return rng.choice((str(value), [value], {"value": value}, None))


def _odd(rng: Random) -> Any:
    value = rng.choice(ODD_VALUES)
    return json.loads(json.dumps(value)) if isinstance(value, dict | list) else value


def _odd_bytes(rng: Random) -> bytes:
    return json.dumps(rng.choice(ODD_VALUES)).encode() if rng.random() < 0.5 else rng.choice(ODD_TOKENS)


def _replace_match(rng: Random, pattern: re.Pattern[bytes], data: bytes, replacement: bytes) -> bytes:
    matches = list(pattern.finditer(data))
    if not matches:
        return data + replacement
    chosen = rng.choice(matches)
    return data[: chosen.start()] + replacement + data[chosen.end() :]


def mutate_toml(rng: Random, data: bytes) -> bytes:
    """Change one value or key of a TOML file."""
    lines = data.split(b"\n")
    assigned = [i for i, line in enumerate(lines) if b"=" in line and not line.startswith(b"#")]
    if not assigned:
        return mutate_text(rng, data)
    i = rng.choice(assigned)
    key, _, value = lines[i].partition(b"=")
    kind = rng.randrange(4)
    if kind == 0:
        key = rng.choice((b"x ", key.strip() + b".a ", b'"" ', key.upper()))
    elif kind == 1:
        value = rng.choice((b" [" + value + b"]", b' "' + value.replace(b'"', b"").strip() + b'"', b" {a = 1}"))
    else:
        odd = rng.choice([v for v in ODD_VALUES if v is not None])
        word = "nan" if odd != odd else json.dumps(odd).replace("Infinity", "inf")
        value = b" " + re.sub(r'\{"a": 1\}', "{a = 1}", word).encode("utf-8", "replace")
    lines[i] = key + b"=" + value
    return b"\n".join(lines)


def mutate_sqlite(rng: Random, data: bytes, scratch: Path) -> bytes:
    """Change cells, rows, tables and packed documents of a SQLite file."""
    scratch.write_bytes(data)
    store = sqlite3.connect(scratch)
    with store:
        tables = [row[0] for row in store.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
        for _ in range(rng.choice((1, 1, 2))):
            table = rng.choice(tables)
            try:
                if table == "documents" or rng.random() < 0.2:
                    _edit_documents(rng, store)
                else:
                    _edit_table(rng, store, table)
            except sqlite3.Error:
                continue  # A constraint holds, or an earlier edit dropped what this one is about.
    store.close()
    return scratch.read_bytes()


def _edit_documents(rng: Random, store: sqlite3.Connection) -> None:
    rows = store.execute("SELECT run_id, document FROM documents ORDER BY run_id").fetchall()
    if not rows:
        return
    run, packed = rng.choice(rows)
    try:
        document = zlib.decompress(packed)
    except (zlib.error, TypeError):
        return  # An earlier edit made bytes of another kind of it.
    changed = rng.choice((mutate_json, mutate_bytes))(rng, document)
    written = zlib.compress(changed) if rng.random() < 0.9 else mutate_bytes(rng, packed)
    store.execute("UPDATE documents SET document = ? WHERE run_id = ?", (written, run))


def _edit_table(rng: Random, store: sqlite3.Connection, table: str) -> None:
    columns = [row[1] for row in store.execute(f"PRAGMA table_info({table})")]
    if not columns:
        return  # An earlier edit dropped the table.
    column = rng.choice(columns)
    kind = rng.randrange(9)
    if kind < 5:
        value = rng.choice((0, -1, 4.7, 2**62, 1e308, "", "[red]", "$x$", "{}", "[1", "x" * 999, None, b"\x00\xff"))
        row = store.execute(f"SELECT {column} FROM {table} LIMIT 1 OFFSET ?", (rng.randrange(3),)).fetchone()
        if row is not None and isinstance(row[0], str) and row[0].startswith(("{", "[")) and rng.random() < 0.7:
            value = mutate_json(rng, row[0].encode()).decode("utf-8", "replace")
        where, old = (f" WHERE {column} = ?", row) if row is not None and rng.random() < 0.6 else ("", ())
        store.execute(f"UPDATE {table} SET {column} = ?{where}", (value, *old))
    elif kind == 5:
        store.execute(f"DELETE FROM {table}")
    elif kind == 6:
        store.execute(f"DROP TABLE {table}")
    elif kind == 7:
        store.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO renamed")
    else:
        store.execute(f"PRAGMA user_version = {rng.choice((0, 1, 99, -1))}")

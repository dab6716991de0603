"""Reading files: bytes (gzip and xz undone), text, JSON; every failure is a `UserError` that names the file."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from framework.errors import UserError

PathLike: TypeAlias = str | os.PathLike[str]

_PACKED: dict[str, tuple[bytes, Callable[[bytes], bytes]]] = {
    "gzip": (b"\x1f\x8b", gzip.decompress),
    "xz": (b"\xfd7zXZ\x00", lzma.decompress),
}
_SUFFIXES = (".gz", ".xz", ".json", ".onnx", ".pbtxt", ".txt", ".graph")


def read_bytes(path: PathLike) -> bytes:
    """Return the content of a file, decompressed if it is gzipped or an xz file, whatever it is called.

    Raises
    ------
    UserError
        If the file cannot be read, or its compressed data is damaged.
    """
    where = os.fspath(path)
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError("there is no such file", where=where) from None
    except IsADirectoryError:
        raise UserError("this is a directory", where=where, mend="give the file itself") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"cannot be read: {reason}", where=where) from None
    for kind, (magic, decompress) in _PACKED.items():
        if data.startswith(magic):
            try:
                return decompress(data)
            except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
                raise UserError(
                    f"the {kind} data is damaged: {error}",
                    where=where,
                    mend="fetch or write the file again; it may be cut off",
                ) from None
    return data


def decode_text(data: bytes, where: str) -> str:
    """Decode UTF-8, with or without a byte order mark."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(
            f"not UTF-8 text (byte {error.start})", where=where, mend="give a text file, encoded as UTF-8"
        ) from None


def parse_json(data: bytes, where: str) -> object:
    """Parse JSON; the literals ``NaN`` and ``Infinity`` come through as floats for the reader to refuse by name.

    Raises
    ------
    UserError
        If it is not JSON (with line and column), an object repeats a key, or it is nested absurdly deep.
    """
    text = decode_text(data, where)
    try:
        return json.loads(text, object_pairs_hook=_distinct_keys)
    except json.JSONDecodeError as error:
        at_end = not text[error.pos :].strip()
        raise UserError(
            f"not valid JSON: {error.msg}",
            where=f"{where}, line {error.lineno}, column {error.colno}",
            mend="the file is cut off; write it again" if at_end else "correct the file there",
        ) from None
    except _RepeatedKeyError as error:
        raise UserError(f"an object holds the key {error.args[0]!r} twice", where=where, mend="keep one") from None
    except RecursionError:
        raise UserError("the JSON is nested too deep", where=where, mend="this is no graph file") from None
    except ValueError as error:
        raise UserError(f"not valid JSON: {error}", where=where) from None


class _RepeatedKeyError(Exception):
    """An object with the same key twice: one of the two values would be lost silently."""


def _distinct_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _RepeatedKeyError(key)
            seen.add(key)
    return result


def graph_name(path: PathLike) -> str:
    """Return the file's name without the suffixes of graph files: ``a/b.graph.json.gz`` is ``b``."""
    name = Path(path).name
    while True:
        shorter = next((name.removesuffix(s) for s in _SUFFIXES if name.endswith(s) and name != s), name)
        if shorter == name:
            return name
        name = shorter

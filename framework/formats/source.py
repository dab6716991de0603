"""JSON of a user's file, parsed within bounds, and the names of files; every failure is a `UserError` with the file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from framework.errors import UserError
from framework.formats.json_tables import read_tables
from framework.input_files import LIMIT_VARIABLE, check_deadline, decode_text, size_limit
from framework.input_files import read_bytes as read_bytes

PathLike: TypeAlias = str | os.PathLike[str]

_BYTES_PER_VALUE = 64
"""Memory that a parsed value takes at least; a few characters of JSON may be an object."""

_CHECKED_EVERY = 1 << 10
_SUFFIXES = (".gz", ".xz", ".json", ".onnx", ".pbtxt", ".pt2", ".txt", ".graph")


def parse_json(data: bytes, where: str, tables: Mapping[str, Sequence[str]] | None = None) -> object:
    """Parse JSON; the literals ``NaN`` and ``Infinity`` come through as floats for the reader to refuse by name.

    Parameters
    ----------
    tables
        Lists at the top, and the fields that count of the objects in them: such a list may come as a `Table` of them.

    Raises
    ------
    UserError
        If it is not JSON (with line and column), an object repeats a key, it is nested absurdly deep, or it holds so
        many values that they would take up more memory than `size_limit`.
    """
    text = decode_text(data, where)
    values = sum(map(text.count, ",[{"))
    if values * _BYTES_PER_VALUE > size_limit():
        raise UserError(
            f"{values} JSON values are too many to hold in memory",
            where=where,
            hint=f"if they are meant: `{LIMIT_VARIABLE}={-(-values * _BYTES_PER_VALUE // 10**9)}GB`",
        )
    objects = 0

    def distinct_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal objects
        objects += 1
        if objects % _CHECKED_EVERY == 0:
            check_deadline(where)
        result = dict(pairs)
        if len(result) < len(pairs):
            raise _RepeatedKeyError(_repeated(pairs))
        return result

    if tables is not None:
        top = read_tables(text, tables, distinct_keys, lambda: check_deadline(where))
        if top is not None:
            return top
    try:
        return json.loads(text, object_pairs_hook=distinct_keys)
    except json.JSONDecodeError as error:
        at_end = not text[error.pos :].strip()
        raise UserError(
            f"not valid JSON: {error.msg}",
            where=f"{where}, line {error.lineno}, column {error.colno}",
            hint="the file is cut off; write it again" if at_end else "correct the file there",
        ) from None
    except _RepeatedKeyError as error:
        raise UserError(f"an object holds the key {error.args[0]!r} twice", where=where, hint="keep one") from None
    except RecursionError:
        raise UserError("the JSON is nested too deep", where=where, hint="no file of this program is") from None
    except MemoryError:
        raise UserError("there is not enough memory for this JSON", where=where, hint="use a larger machine") from None
    except ValueError as error:
        raise UserError(f"not valid JSON: {error}", where=where) from None


class _RepeatedKeyError(ValueError):
    """An object with the same key twice: one of the two values would be lost silently."""


def _repeated(pairs: list[tuple[str, object]]) -> str:
    """Return the first key that is there twice."""
    seen: set[str] = set()
    return next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]


def graph_name(path: PathLike) -> str:
    """Return the file's name without the suffixes of graph files: ``a/b.graph.json.gz`` is ``b``."""
    name = Path(path).name
    while True:
        shorter = next((name.removesuffix(s) for s in _SUFFIXES if name.endswith(s) and name != s), name)
        if shorter == name:
            return name
        name = shorter

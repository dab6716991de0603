"""Long lists of JSON objects, read column by column: a list of a million rows is never held as a million objects.

The text is parsed in pieces that end where an object of the list ends. A piece that is valid JSON in brackets of its
own is a run of whole rows: what precedes it ended with a row, and JSON is read from left to right in one way only.
Whatever is unusual (a mistake, an object inside a row at the end of a piece) is left to the parser of whole files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from framework.formats.builder import MISSING

_PIECE = 1 << 18
"""Characters of a piece, about: its objects stay in the processor's cache."""

_BLANK = re.compile(r"[ \t\r\n]*")


class Table:
    """Some fields of a list of JSON objects.

    Attributes
    ----------
    count
        Number of objects.
    """

    def __init__(self, fields: Sequence[str]) -> None:
        self.count = 0
        self._columns: dict[str, list[Any]] = {field: [] for field in fields}

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]], fields: Sequence[str]) -> Table:
        """Return the table of all rows."""
        table = cls(fields)
        table.extend(rows)
        return table

    def extend(self, rows: Sequence[dict[str, Any]]) -> None:
        """Add rows."""
        there = set(chain.from_iterable(rows))
        for field, values in self._columns.items():
            if field not in there:
                continue
            # What no row had so far is filled in now.
            values.extend([MISSING] * (self.count - len(values)))
            try:
                values.extend(list(map(itemgetter(field), rows)))
            except KeyError:
                values.extend([row.get(field, MISSING) for row in rows])
        self.count += len(rows)

    def values(self, field: str, absent: object = MISSING) -> list[Any]:
        """Return what each object holds under a field, and `absent` where it has no such field."""
        found = self._columns[field]
        if absent is not MISSING and MISSING in found:
            found = [absent if value is MISSING else value for value in found]
        return found + [absent] * (self.count - len(found))


def read_tables(
    text: str,
    fields: Mapping[str, Sequence[str]],
    distinct: Callable[[list[tuple[str, object]]], dict[str, object]],
    look: Callable[[], None],
) -> dict[str, Any] | None:
    """Parse a JSON object; None where anything is unusual.

    Parameters
    ----------
    fields
        The lists to read as tables, and of each the fields that count.
    distinct
        Makes an object of its pairs, or raises a `ValueError` where a key is there twice.
    look
        Called after every piece; may raise.
    """
    reader = _Reader(text, json.JSONDecoder(object_pairs_hook=distinct), look)
    try:
        return reader.read(fields)
    except (ValueError, RecursionError, MemoryError):
        return None


class _Reader:
    def __init__(self, text: str, strict: json.JSONDecoder, look: Callable[[], None]) -> None:
        self._text = text
        self._strict = strict
        self._quick = json.JSONDecoder()
        self._look = look
        self._at = 0

    def read(self, fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
        top: dict[str, Any] = {}
        self._expect("{")
        while True:
            key = self._value()
            if not isinstance(key, str) or key in top:
                raise ValueError("no new key")
            self._expect(":")
            if key in fields and self._next() == "[":
                top[key] = table = Table(fields[key])
                self._at += 1
                for rows in self._pieces():
                    table.extend(rows)
                    self._look()
            else:
                top[key] = self._value()
            if self._next() == "}":
                break
            self._expect(",")
        self._at += 1
        if self._next():
            raise ValueError("there is more")
        return top

    def _pieces(self) -> Iterator[list[Any]]:
        """Yield the rows of a list from after its bracket on, and move on to its end."""
        begin = self._at
        while True:
            end = self._text.find("},", self._at + _PIECE)
            piece = f"[{self._text[self._at : end + 1]}]" if end >= 0 else f"[{self._text[self._at :]}"
            rows, length = self._quick.raw_decode(piece)
            if not set(map(type, rows)) <= {dict}:
                raise ValueError("not only objects")
            # Every key is followed by a colon: with as many keys as colons, none was lost.
            if sum(map(len, rows)) != piece.count(":", 0, length):
                rows, length = self._strict.raw_decode(piece)
            if not rows and self._at > begin:
                raise ValueError("a comma without a row")
            yield rows
            if end < 0 or length < len(piece):
                self._at += length - 1
                return
            self._at = end + 2

    def _value(self) -> Any:
        self._next()
        value, self._at = self._strict.raw_decode(self._text, self._at)
        return value

    def _expect(self, character: str) -> None:
        if self._next() != character:
            raise ValueError(f"no {character}")
        self._at += 1

    def _next(self) -> str:
        """Return the next character that is not blank; nothing at the end."""
        match = _BLANK.match(self._text, self._at)
        self._at = self._at if match is None else match.end()
        return self._text[self._at : self._at + 1]

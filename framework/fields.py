"""Reading a document field by field: TOML tables and JSON objects, with errors that name the file and the field.

Everything that this program reads back goes through here: specs of studies, devices, results, manifests, stores. What
stands in a file is believed to be nothing until a method of `Fields` has said what it is: a boolean is no integer, 4.7
is no whole number, NaN is no number, an absent field is an error and not None.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from framework.errors import UserError

T = TypeVar("T")

REQUIRED: Final[Any] = object()
"""Default of a field that must be there."""

DEEPEST = 100
"""Levels of objects and lists in a document; beyond, what recurses over it could fail."""


def shown(value: object) -> str:
    """Show a value of a file in an error, as the file spells it, in a few characters."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        try:
            text = repr(value)
        except (ValueError, RecursionError):
            text = f"a huge {type(value).__name__}"
    return shortened(text)


def shortened(text: str) -> str:
    """Return text, cut off where it is longer than an error should quote."""
    return text if len(text) <= 40 else f"{text[:37]}..."


def check_values(document: object, file: str) -> None:
    """Refuse what no document of ours holds at any place: numbers that are not finite, and absurd nesting.

    Raises
    ------
    UserError
        Naming the file and the place.
    """
    level: list[tuple[str, object]] = [("", document)]
    for _ in range(DEEPEST):
        deeper: list[tuple[str, object]] = []
        for path, value in level:
            if isinstance(value, Mapping):
                deeper += [(f"{path}.{shortened(key)}" if path else shortened(key), v) for key, v in value.items()]
            elif isinstance(value, list):
                deeper += [(f"{path}[{i}]", v) for i, v in enumerate(value) if isinstance(v, Mapping | list | float)]
            elif isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"{shown(value)} is no number", where=f"{file}: {path}")
        if not deeper:
            return
        level = deeper
    raise UserError(f"nested more than {DEEPEST} levels deep", where=f"{file}: {shortened(level[0][0])}")


class Fields:
    """One object of a document; every field is taken once, and what is left over is an error.

    Parameters
    ----------
    table
        The object: a UserError if it is something else.
    file
        The file, for errors.
    path
        Dotted path of the object inside the file; empty for the top level.
    """

    def __init__(self, table: object, file: str, path: str = "") -> None:
        self._file = file
        self._path = path
        self._known: list[str] = []
        if not isinstance(table, Mapping):
            raise self.error("", f"{shown(table)} is no table of fields")
        self._table: dict[str, Any] = dict(table)

    def where(self, key: str = "") -> str:
        """Return the place of a key, for an error."""
        path = self._inner_path(key) if key else self._path
        return f"{self._file}: {path}" if path else self._file

    def error(self, key: str, what: str, hint: str = "") -> UserError:
        """Return an error about a key."""
        return UserError(what, where=self.where(key), hint=hint)

    def has(self, key: str) -> bool:
        """Whether the object holds a key, whatever its value."""
        return key in self._table

    def null(self, key: str, *, absent: bool = True) -> bool:
        """Whether a field is null, or absent (unless `absent` is false: then it must be there)."""
        self._known.append(key)
        if key not in self._table and not absent:
            raise self.error(key, "is missing", "it is required")
        return self._table.get(key) is None

    def text(self, key: str, default: str = REQUIRED, *, empty: bool = False) -> str:
        """Take a string; one that holds more than blanks unless `empty`."""
        value = self._take(key, default)
        if not isinstance(value, str) or not (empty or value.strip()):
            raise self.error(key, f"{shown(value)} is no text", "write it in quotes")
        return value

    def choice(self, key: str, words: Iterable[str]) -> str:
        """Take one of several words."""
        value, known = self._take(key, REQUIRED), list(words)
        if not isinstance(value, str) or value not in known:
            near = difflib.get_close_matches(value, known, 1) if isinstance(value, str) else []
            hint = f"did you mean {near[0]}?" if near else f"the words here are {', '.join(known)}"
            raise self.error(key, f"{shown(value)} is not known", hint)
        return value

    def flag(self, key: str, default: bool = REQUIRED) -> bool:
        """Take true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"{shown(value)} is neither true nor false")
        return value

    def integer(self, key: str, default: int = REQUIRED, *, least: int | None, most: int | None = None) -> int:
        """Take an integer from `least` to `most`."""
        return self._integer(key, self._take(key, default), least, most)

    def number(
        self, key: str, default: float = REQUIRED, *, least: float = -math.inf, below: float = math.inf
    ) -> float:
        """Take a number in ``[least, below)``, which is finite whatever the two are."""
        return self._number(key, self._take(key, default), least, below)

    def integers(
        self, key: str, default: tuple[int, ...] = REQUIRED, *, least: int, most: int | None = None
    ) -> tuple[int, ...]:
        """Take a list, not empty, of distinct integers."""
        return tuple(self._integer(name, value, least, most) for name, value in self.items(key, default))

    def integer_list(self, key: str, *, least: int, most: int | None = None) -> list[int]:
        """Take a list of integers, which may be empty, long, and hold the same several times."""
        return [self._integer(name, value, least, most) for name, value in self.entries(key)]

    def texts(self, key: str, default: tuple[str, ...] = REQUIRED) -> list[str]:
        """Take a list of strings, which may be empty and hold the same several times."""
        values = self.entries(key, default)
        for name, value in values:
            if not isinstance(value, str):
                raise self.error(name, f"{shown(value)} is no text", "write it in quotes")
        return [value for _, value in values]

    def read(self, key: str, parse: Callable[[str], T]) -> T | None:
        """Take a quantity that people write as text or as a plain number, read by `parse`; None if absent."""
        self._known.append(key)
        return self.parsed(key, self._table[key], parse) if key in self._table else None

    def parsed(self, name: str, value: Any, parse: Callable[[str], T]) -> T:
        """Read one value with `parse`, whose errors get the place of `name`."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.error(name, f"cannot read {shown(value)}")
        try:
            return parse(str(value))
        except UserError as error:
            raise UserError(error.what, where=self.where(name), hint=error.hint) from error
        except ValueError:
            # An integer of thousands of digits has no text.
            raise self.error(name, f"cannot read {shown(value)}") from None

    def entries(self, key: str, default: tuple[Any, ...] = REQUIRED) -> list[tuple[str, Any]]:
        """Take a list, which may be empty; return (``key[i]``, item) pairs."""
        value = self._take(key, default if default is REQUIRED else list(default))
        if not isinstance(value, list):
            raise self.error(key, f"{shown(value)} is no list", f"write {key} = [{shown(value)}]")
        return [(f"{key}[{i}]", item) for i, item in enumerate(value)]

    def items(self, key: str, default: tuple[Any, ...] = REQUIRED) -> list[tuple[str, Any]]:
        """Take a list that is not empty and holds nothing twice; return (``key[i]``, item) pairs."""
        pairs = self.entries(key, default)
        if not pairs:
            raise self.error(key, "the list is empty", "name at least one")
        values = [item for _, item in pairs]
        for i, (name, item) in enumerate(pairs):
            if item in values[:i]:
                raise self.error(name, f"{shown(item)} is there twice", "remove one")
        return pairs

    def table(self, key: str, default: Mapping[str, Any] | None = None) -> Fields:
        """Take an object; where it is absent, `default` or one without fields, unless it is `REQUIRED`."""
        return self.inner(key, self._take(key, {} if default is None else default))

    def rows(self, key: str, default: tuple[Any, ...] = REQUIRED) -> list[Fields]:
        """Take a list of objects, which may be empty."""
        return [self.inner(name, item) for name, item in self.entries(key, default)]

    def inner(self, name: str, value: object) -> Fields:
        """Return the fields of an object that stands at `name`."""
        return Fields(value, self._file, self._inner_path(name))

    def value(self, key: str) -> Any:
        """Take a value of any kind; None where it is absent."""
        self._known.append(key)
        return self._table.get(key)

    def everything(self) -> dict[str, Any]:
        """Return all values, those taken already too; none counts as taken by this."""
        return dict(self._table)

    def rest(self) -> dict[str, Any]:
        """Take everything that is left."""
        left = {key: value for key, value in self._table.items() if key not in self._known}
        self._known += left
        return left

    def finish(self) -> None:
        """Refuse what nobody took."""
        for key in self._table:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                hint = (
                    f"did you mean {near[0]}?" if near else f"the keys here are {', '.join(dict.fromkeys(self._known))}"
                )
                raise self.error(shortened(key), "there is no such key", hint)

    def _inner_path(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def _integer(self, name: str, value: Any, least: int | None, most: int | None) -> int:
        if type(value) is not int or (least is not None and value < least):
            limit = "" if least is None else f" of at least {least}"
            raise self.error(name, f"{shown(value)} is no integer{limit}")
        if most is not None and value > most:
            raise self.error(name, f"{shown(value)} is more than {most}")
        return value

    def _number(self, name: str, value: Any, least: float, below: float) -> float:
        right = not isinstance(value, bool) and isinstance(value, int | float) and least <= value < below
        try:
            number = float(value) if right else math.nan
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            limits = [f"of at least {least:g}"] * (least > -math.inf) + [f"below {below:g}"] * (below < math.inf)
            raise self.error(name, " ".join([f"{shown(value)} is no number", *limits]))
        return number

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        value = self._table.get(key, default)
        if value is REQUIRED:
            raise self.error(key, "is missing", "it is required")
        return value

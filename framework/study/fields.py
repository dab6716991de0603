"""Reading a TOML table field by field, with errors that name the file, the key and the mend."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from framework.errors import UserError

T = TypeVar("T")


class Fields:
    """One table of a TOML file; every field is taken once, and what is left over is an error.

    Parameters
    ----------
    table
        The table.
    file
        The file, for errors.
    path
        Dotted path of the table inside the file; empty for the top level.
    """

    def __init__(self, table: Mapping[str, Any], file: str, path: str = "") -> None:
        self._table = dict(table)
        self._file = file
        self._path = path
        self._known: list[str] = []

    def where(self, key: str = "") -> str:
        """Return the place of a key, for an error."""
        path = f"{self._path}.{key}" if self._path and key else self._path or key
        return f"{self._file}: {path}" if path else self._file

    def error(self, key: str, what: str, mend: str = "") -> UserError:
        """Return an error about a key."""
        return UserError(what, where=self.where(key), mend=mend)

    def has(self, key: str) -> bool:
        """Whether the table holds a key that was not taken yet."""
        return key in self._table

    def text(self, key: str, default: str | None = None) -> str:
        """Take a string; required without a default."""
        value = self._take(key, default)
        if not isinstance(value, str) or not value.strip():
            raise self.error(key, f"{value!r} is no text", "write it in quotes")
        return value

    def flag(self, key: str, default: bool) -> bool:
        """Take true or false."""
        value = self._take(key, default)
        if not isinstance(value, bool):
            raise self.error(key, f"{value!r} is neither true nor false")
        return value

    def integer(self, key: str, default: int, *, least: int) -> int:
        """Take an integer of at least `least`."""
        return self._integer(key, self._take(key, default), least)

    def number(self, key: str, default: float, *, least: float, below: float) -> float:
        """Take a number in ``[least, below)``."""
        value = self._take(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value < below:
            raise self.error(key, f"{value!r} is no number from {least:g} to below {below:g}")
        return float(value)

    def integers(self, key: str, default: tuple[int, ...] | None = None, *, least: int) -> tuple[int, ...]:
        """Take a list of distinct integers of at least `least`."""
        return tuple(self._integer(name, value, least) for name, value in self.items(key, default))

    def read(self, key: str, parse: Callable[[str], T]) -> T | None:
        """Take a quantity that people write as text or as a plain number, read by `parse`; None if absent."""
        self._known.append(key)
        return self.parsed(key, self._table[key], parse) if key in self._table else None

    def parsed(self, name: str, value: Any, parse: Callable[[str], T]) -> T:
        """Read one value with `parse`, whose errors get the place of `name`."""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise self.error(name, f"cannot read {value!r}")
        try:
            return parse(str(value))
        except UserError as error:
            raise UserError(error.what, where=self.where(name), mend=error.mend) from error

    def items(self, key: str, default: tuple[Any, ...] | None = None) -> list[tuple[str, Any]]:
        """Take a list that is not empty and holds nothing twice; return (``key[i]``, item) pairs."""
        value = self._take(key, None if default is None else list(default))
        if not isinstance(value, list):
            raise self.error(key, f"{value!r} is no list", f"write {key} = [{value!r}]".replace("'", '"'))
        if not value:
            raise self.error(key, "the list is empty", "name at least one")
        for i, item in enumerate(value):
            if item in value[:i]:
                raise self.error(f"{key}[{i}]", f"{item!r} is there twice", "remove one")
        return [(f"{key}[{i}]", item) for i, item in enumerate(value)]

    def table(self, key: str) -> Fields:
        """Take a table; an empty one where it is absent."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self.error(key, f"{value!r} is no table", f"write [{key}]")
        return Fields(value, self._file, f"{self._path}.{key}" if self._path else key)

    def inner(self, name: str, value: Mapping[str, Any]) -> Fields:
        """Return the fields of a table that stands inside a list."""
        return Fields(value, self._file, f"{self._path}.{name}" if self._path else name)

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
                mend = f"did you mean {near[0]}?" if near else f"the keys here are {', '.join(self._known)}"
                raise self.error(key, "there is no such key", mend)

    def _integer(self, name: str, value: Any, least: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise self.error(name, f"{value!r} is no integer of at least {least}")
        return value

    def _take(self, key: str, default: Any) -> Any:
        self._known.append(key)
        value = self._table.get(key, default)
        if value is None:
            raise self.error(key, "is missing", "it is required")
        return value

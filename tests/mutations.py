"""Documents with one thing wrong: every value replaced by odd ones, dropped or doubled."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]

DEEP: list[Any] = []
for _ in range(3000):
    DEEP = [DEEP]

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    4.7,
    1e308,
    math.nan,
    math.inf,
    1 << 63,
    10**400,
    "",
    "../../etc/passwd",
    [],
    [[1]],
    {},
    {"a": 1},
    DEEP,
)


def paths(document: Any) -> Iterator[Path]:
    """Yield the way to every value inside a document, outermost first; the document itself is ()."""
    items = document.items() if isinstance(document, dict) else enumerate(document)
    for key, value in items:
        yield (key,)
        if isinstance(value, dict | list):
            yield from ((key, *rest) for rest in paths(value))


def value_at(document: Any, path: Path) -> Any:
    """Return the value at a path."""
    for key in path:
        document = document[key]
    return document


def replaced(document: Any, path: Path, value: Any) -> Any:
    """Return a copy of a document with another value at a path."""
    result = copy.deepcopy(document)
    value_at(result, path[:-1])[path[-1]] = value
    return result


def dropped(document: Any, path: Path) -> Any:
    """Return a copy of a document without the value at a path."""
    result = copy.deepcopy(document)
    del value_at(result, path[:-1])[path[-1]]
    return result


def odd_ones(document: Any) -> Iterator[Any]:
    """Yield the document with every value dropped, and replaced by each of `ODD`."""
    for path in paths(document):
        yield dropped(document, path)
        for value in ODD:
            result = dropped(document, path)
            parent = value_at(result, path[:-1])
            if isinstance(parent, dict):
                parent[path[-1]] = value
            else:
                parent.insert(path[-1], value)
            yield result

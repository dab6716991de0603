"""What is expensive to set up for a problem, kept for the latest problem only."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Latest(Generic[T]):
    """A cache of one value: thresholds of one problem are decided one after the other.

    Only the latest is kept: what entries set up (reachability, models, columns) is large. Keys are digests, so two
    equal problems share the value, and nothing keeps a problem itself alive.
    """

    def __init__(self) -> None:
        self._key: Hashable = None
        self._value: T | None = None

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of a key; make it where the latest one was another.

        If `make` raises, the former value stays.
        """
        if self._value is None or self._key != key:
            self._value = make()
            self._key = key
        return self._value

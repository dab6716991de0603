"""One value is kept, that of the latest key."""

from __future__ import annotations

import pytest

from framework.portfolio.context.latest import Latest


def test_it_makes_a_value_once_and_keeps_only_the_latest() -> None:
    made: list[str] = []
    latest: Latest[str] = Latest()

    def make(name: str) -> str:
        made.append(name)
        return name.upper()

    assert [latest.get(key, lambda key=key: make(key)) for key in "aaba"] == ["A", "A", "B", "A"]  # type: ignore[misc]
    assert made == ["a", "b", "a"]


def test_what_cannot_be_made_leaves_the_former_value() -> None:
    latest: Latest[int] = Latest()
    assert latest.get("a", lambda: 1) == 1
    with pytest.raises(ZeroDivisionError):
        latest.get("b", lambda: 1 // 0)
    assert latest.get("a", lambda: 2) == 1

"""Entries by what they are for: those that a portfolio runs, by portfolio, and those that are there to be studied."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from framework.registry import Entry, registry

MAIN = "default"
"""The portfolio whose entries come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Entries of one use.

    Attributes
    ----------
    title
        ``in `default```, or that no portfolio runs them.
    """

    title: str
    entries: tuple[Entry, ...]


def grouped(entries: Iterable[Entry]) -> tuple[Group, ...]:
    """Return entries by use: in `default`, in another portfolio but not in it, in none.

    Nothing but the data of entries decides: the members of portfolios, and the purpose that an entry states.
    """
    groups: dict[tuple[int, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault(_place(entry), []).append(entry)
    return tuple(Group(title=title, entries=tuple(groups[rank, title])) for rank, title in sorted(groups))


def _place(entry: Entry) -> tuple[int, str]:
    portfolios = registry.portfolios_of(entry.name)
    if MAIN in portfolios:
        return 0, f"in `{MAIN}`"
    if portfolios:
        return 1, f"in `{portfolios[0]}`"
    return (2, "to study, in no portfolio") if entry.purpose else (3, "in no portfolio")

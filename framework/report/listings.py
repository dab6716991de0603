"""Listings of what there is to choose from."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.text import Text

from framework.model.device import preset_devices
from framework.registry import Entry, Kind, registry
from framework.report.console import open_console, styled
from framework.report.groups import grouped
from framework.report.layout import Cell, FactTable
from framework.report.numbers import quantity

Rows = list[dict[str, Any]]

PROSE = 80
"""Columns of sentences are folded at this width, also where there is more room."""

_KINDS = {
    "formulations": Kind.FORMULATION,
    "strategies": Kind.STRATEGY,
    "portfolios": Kind.PORTFOLIO,
}


def listings(names: Sequence[str]) -> dict[str, Rows]:
    """Return the rows of each listing by its name."""
    return {name: _rows(name) for name in names}


def print_listings(tables: Mapping[str, Rows]) -> None:
    """Print each listing as a table."""
    console = open_console()
    for name, rows in tables.items():
        if not rows:
            console.print(f"{name}: none")
        for title, part in _parts(name, rows):
            shown = [_entry_cells(row) for row in part] if name in _KINDS else part
            table = FactTable(title)
            for heading in shown[0]:
                if all(isinstance(row[heading], int | float | None) for row in shown):
                    table.numbers(heading)
                else:
                    table.texts(heading, most=PROSE)
            for row in shown:
                table.row(*(_cell(value) for value in row.values()))
            console.print(table)


def _parts(name: str, rows: Rows) -> Iterator[tuple[str, Rows]]:
    """Yield the tables of a listing with their titles; rows of a group are neighbours."""
    for group, part in itertools.groupby(rows, key=lambda row: row.get("group", "")):
        yield f"{name} {group}".rstrip(), list(part)


def _rows(name: str) -> Rows:
    if name in _KINDS:
        entries = registry.entries(_KINDS[name])
        if _KINDS[name] is Kind.PORTFOLIO:
            return [_entry_row(entry) for entry in entries]
        return [
            {**_entry_row(entry), "group": group.title, "purpose": entry.purpose}
            for group in grouped(entries)
            for entry in group.entries
        ]
    if name == "devices":
        return [device.as_dict() for device in preset_devices().values()]
    if name == "formats":
        from framework.formats import formats

        return [{"name": item.name, "files": item.patterns, "description": item.description} for item in formats()]
    from framework.testbed.catalogue import SUBSETS, subset_names

    return [
        {"subset": subset, "graphs": len(subset_names(subset)), "description": description}
        for subset, description in SUBSETS.items()
    ]


def _entry_row(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "features": ", ".join(sorted(entry.features)),
        "parameters": ", ".join(
            f"{parameter.name}: {parameter.type_name} = {parameter.default}" for parameter in entry.parameters()
        ),
        "summary": entry.summary,
        "reference": entry.reference,
    }


def _entry_cells(row: dict[str, Any]) -> dict[str, Any]:
    """What fits a terminal; types and sources are in --json and in the methods reference."""
    defaults = ", ".join(
        f"{parameter.name}={parameter.default}" for parameter in registry.get(row["name"]).parameters()
    )
    summary = styled(row["summary"])
    if row.get("purpose"):
        summary = Text("\n").join((summary, styled(f"Use: {row['purpose']}")))
    if defaults:
        summary = Text("\n").join((summary, styled(defaults, "dim")))
    return {"name": row["name"], "features": row["features"], "what it does, and its parameters": summary}


def _cell(value: Any) -> Cell:
    if isinstance(value, Text):
        return value
    if isinstance(value, float):
        return quantity(value)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return "-" if value is None else str(value)

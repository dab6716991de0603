"""Listings of what there is to choose from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape

from framework.model.device import preset_devices
from framework.registry import Entry, Kind, registry
from framework.report.layout import plain_table
from framework.report.numbers import quantity

Rows = list[dict[str, Any]]

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
    console = Console()
    for name, rows in tables.items():
        table = plain_table(name)
        shown = [_entry_cells(row) for row in rows] if name in _KINDS else rows
        for heading in shown[0] if rows else []:
            table.add_column(heading, overflow="fold")
        for row in shown:
            table.add_row(*(_cell(value) for value in row.values()))
        console.print(table if rows else f"{name}: none")


def _rows(name: str) -> Rows:
    if name in _KINDS:
        return [_entry_row(entry) for entry in registry.entries(_KINDS[name])]
    if name == "devices":
        return [device.as_dict() for device in preset_devices().values()]
    if name == "formats":
        from framework.formats import FORMATS

        return [{"name": item.name, "files": item.patterns, "description": item.description} for item in FORMATS]
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
    summary = f"{row['summary']}\n[dim]{escape(defaults)}[/]" if defaults else row["summary"]
    return {"name": row["name"], "features": row["features"], "what it does, and its parameters": summary}


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return quantity(value)
    return "-" if value is None else str(value)

"""Arrangements of devices: a row for each, and what is proven of all of them."""

from __future__ import annotations

from typing import Any

from framework.portfolio.arrangements import Arrangement, Arrangements
from framework.report.console import open_console
from framework.report.layout import FactTable
from framework.report.numbers import percent, quantity, scaled_unit
from framework.wording import counted

_MOST_ROWS = 20


def arrangements_document(found: Arrangements) -> dict[str, Any]:
    """Return JSON-compatible data: the best result, and every arrangement with its bound."""
    return {
        "best": None if found.best is None else found.best.as_dict(),
        "bound": found.lowest.bound,
        "proven": found.proven,
        "arrangements": [
            {
                "devices": [device.name for device in row.devices],
                "bound": row.bound,
                "incumbent": None if row.result is None else row.result.incumbent,
                "status": _status(row),
            }
            for row in found.rows
        ],
    }


def print_arrangements(found: Arrangements) -> None:
    """Print the arrangements, the best ones if there are many, and one sentence on all of them."""
    console = open_console()
    first = found.rows[0]
    unit, factor = scaled_unit("s", first.bound)
    table = FactTable(f"orders of the devices, in {unit}")
    table.texts("devices")
    table.numbers("bottleneck", "dual bound")
    table.texts("status")
    for row in found.rows[:_MOST_ROWS]:
        incumbent = None if row.result is None else row.result.incumbent
        value = quantity(None if incumbent is None else incumbent * factor)
        table.row(row.name, value, quantity(row.bound * factor), _status(row), style="bold" if row is first else "")
    if len(found.rows) > _MOST_ROWS:
        table.caption = f"and {counted(len(found.rows) - _MOST_ROWS, 'order')} more (--json lists all)"
    console.print(table)
    console.print(_verdict(found, factor, unit))


def _status(row: Arrangement) -> str:
    if row.result is None:
        return "not solved: its bound is enough, or no time was left"
    return row.result.status.replace("_", " ")


def _verdict(found: Arrangements, factor: float, unit: str) -> str:
    first, orders = found.rows[0], counted(len(found.rows), "order")
    cost = first.found
    if cost is None:
        return f"No order has a partition; none gets below {quantity(found.lowest.bound * factor)} {unit}."
    if found.proven:
        return f"Proven: of {orders}, none has a partition better than the best on {first.name}."
    gap = percent(float(1 - found.lowest.in_ticks / cost))
    return (
        f"No order gets below {quantity(found.lowest.bound * factor)} {unit}: at most {gap} can be gained by another."
    )

"""Tables of figures: shown on a terminal, kept in data files, written into pages."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "docs" / "measurements"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """A table as a benchmark makes it.

    Attributes
    ----------
    name
        What a block of the page calls it.
    title
        For the terminal.
    columns, rows
        Headings; cells, as many in each row.
    """

    name: str
    title: str = ""
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"a row of table {self.name} has not as many cells as there are columns")

    def show(self, console: Console) -> None:
        """Print the table."""
        table = Table(title=self.title or self.name)
        for i, heading in enumerate(self.columns):
            table.add_column(heading, justify="right" if i else "left")
        for row in self.rows:
            table.add_row(*row)
        console.print(table)

    def markdown(self) -> str:
        """Return the table for a page."""
        lines = [self.columns, ("---",) * len(self.columns), *self.rows]
        return "\n".join(
            f"| {' | '.join(cells)} |" if cells is not lines[1] else f"|{'|'.join(cells)}|" for cells in lines
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """What one run of a benchmark gave, with its date and machine.

    Attributes
    ----------
    parameters
        Those of the run.
    measured
        The day, ``YYYY-MM-DD``.
    machine
        In words; what else ran on it.
    tables
        In the order in which they are shown.
    """

    parameters: Mapping[str, Any]
    measured: str
    machine: str
    tables: tuple[Figures, ...]

    def write(self, path: Path) -> None:
        """Keep it."""

        def line(value: object) -> str:
            return json.dumps(value, ensure_ascii=False)

        # One row a line, so that a difference shows which figure has changed.
        tables = [
            f'  {{"name": {line(table.name)}, "columns": {line(table.columns)}, "rows": [\n   '
            + ",\n   ".join(map(line, table.rows))
            + "\n  ]}"
            for table in self.tables
        ]
        text = (
            f'{{"measured": {line(self.measured)}, "machine": {line(self.machine)},\n'
            f' "parameters": {line(dict(self.parameters))},\n "tables": [\n' + ",\n".join(tables) + "\n ]}"
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")


def measurement(parameters: Mapping[str, Any], tables: Sequence[Figures], busy: float = 0.0) -> Measurement:
    """Return the measurement of today on this machine, of which other programs used `busy` cores."""
    others = f", of which other programs used {busy:.1f}" if busy >= 0.1 else ""
    return Measurement(
        parameters=parameters,
        measured=datetime.now(UTC).date().isoformat(),
        machine=f"{_processor()}, {len(os.sched_getaffinity(0))} cores{others}",
        tables=tuple(tables),
    )


def read_measurement(path: Path) -> Measurement:
    """Return what was kept in a file."""
    kept = json.loads(path.read_text(encoding="utf-8"))
    tables = tuple(
        Figures(name=table["name"], columns=tuple(table["columns"]), rows=tuple(map(tuple, table["rows"])))
        for table in kept["tables"]
    )
    return Measurement(parameters=kept["parameters"], measured=kept["measured"], machine=kept["machine"], tables=tables)


def busy_cores(seconds: float = 2.0) -> float:
    """Return how many cores are in use while this process sleeps."""

    def ticks() -> tuple[int, int]:
        fields = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]

    total, idle = ticks()
    time.sleep(seconds)
    later, later_idle = ticks()
    cores = os.cpu_count() or 1
    return cores * (1.0 - (later_idle - idle) / max(1, later - total))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()

"""How far a study is, from its store alone."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from framework.report.console import open_console
from framework.report.layout import FactTable
from framework.report.study.progress import duration
from framework.study.analysis.data import reading
from framework.study.lock import is_being_written
from framework.wording import counted

_RECENT = 200
_SHOWN_FAULTS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryStatus:
    """Counts of one entry."""

    label: str
    planned: int
    done: int
    failed: int
    faults: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyStatus:
    """Counts of a study.

    Attributes
    ----------
    running
        Whether a process writes to the store now.
    seconds_left
        At the pace of the last runs; None where nothing runs or nothing is left.
    faults
        The last ones, in words.
    """

    name: str
    store: str
    running: bool
    entries: tuple[EntryStatus, ...]
    seconds_left: float | None
    last_finished: str | None
    faults: tuple[str, ...]

    @property
    def planned(self) -> int:
        """Runs the spec asks for."""
        return sum(entry.planned for entry in self.entries)

    @property
    def done(self) -> int:
        """Runs of them that are in the store, failed ones included."""
        return sum(entry.done + entry.failed for entry in self.entries)

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {**dataclasses.asdict(self), "planned": self.planned, "done": self.done}


def study_status(path: Path) -> StudyStatus:
    """Read the status of a study, also while it runs."""
    running = is_being_written(path)
    with reading(path) as connection:
        name = dict(connection.execute("SELECT name, value FROM meta"))["name"]
        entries = tuple(
            EntryStatus(label=label, planned=planned, done=done or 0, failed=failed or 0, faults=faults or 0)
            for label, planned, done, failed, faults in connection.execute(
                "SELECT label, count(*), sum(state = 'done'), sum(state = 'failed'),"
                " sum((SELECT count(*) FROM faults WHERE run_id = runs.id)) FROM plan LEFT JOIN runs USING (key)"
                " GROUP BY label ORDER BY min(position)"
            )
        )
        recent = [
            datetime.fromisoformat(text)
            for (text,) in connection.execute(f"SELECT finished_at FROM runs ORDER BY id DESC LIMIT {_RECENT}")
        ]
        faults = tuple(
            f"{graph}, k = {stages}, {entry}: {detail}"
            for graph, stages, entry, detail in connection.execute(
                "SELECT graphs.name, runs.stages, entries.entry,"
                " coalesce(faults.member || ': ' || faults.detail, error) FROM runs"
                " JOIN graphs ON graphs.id = graph_id JOIN entries ON entries.id = entry_id"
                " LEFT JOIN faults ON run_id = runs.id WHERE state = 'failed' OR run_id IS NOT NULL"
                f" ORDER BY runs.id DESC LIMIT {_SHOWN_FAULTS}"
            )
        )
    found = StudyStatus(
        name=name,
        store=str(path),
        running=running,
        entries=entries,
        seconds_left=None,
        last_finished=recent[0].isoformat(timespec="seconds") if recent else None,
        faults=faults,
    )
    left = found.planned - found.done
    if running and left and len(recent) > 1:
        pace = (recent[0] - recent[-1]).total_seconds() / (len(recent) - 1)
        found = dataclasses.replace(found, seconds_left=left * pace)
    return found


def print_status(status: StudyStatus) -> None:
    """Print the counts by entry and the last faults."""
    console = open_console()
    state = "running" if status.running else "complete" if status.done >= status.planned else "not running"
    runs = f"{status.done} of {counted(status.planned, 'run')}"
    table = FactTable(f"{status.name}: {runs}, {state}")
    table.texts("entry")
    table.numbers("planned", "done", "failed", "member faults")
    for entry in status.entries:
        counts = (entry.planned, entry.done, entry.failed, entry.faults)
        table.row(entry.label, *map(str, counts))
    console.print(table)
    if status.last_finished is not None:
        left = "" if status.seconds_left is None else f", about {duration(status.seconds_left)} left"
        console.print(f"last run finished {status.last_finished}{left}")
    for fault in status.faults:
        console.print(fault, style="yellow")

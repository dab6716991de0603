"""The store of a study: one SQLite file (WAL mode), written by one process and read by others meanwhile.

Every run is one transaction, forced to disk before the next begins, so that there is no moment at which a crash
leaves half a run. A small reserve file beside the store is given up when the disk is full, so that what had been
computed by then is still saved.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.study.checking import check_store
from framework.study.documents import projected
from framework.study.plan import Plan, PlannedRun, device_figures
from framework.study.spec import StudySpec
from framework.study.task import Finished

FORMAT = "pipebound-study 1"
RESERVE_BYTES = 8 << 20
_BUSY_SECONDS = 60.0


class DiskFullError(Exception):
    """The store cannot grow."""


class Store:
    """The writer's side; the caller holds `framework.study.lock.writer_lock`.

    Raises
    ------
    UserError
        If the file is no store, is of another version, belongs to another study, or cannot be opened.
    DiskFullError
        If there is no room for the reserve, or not even to open the file.
    """

    def __init__(self, path: Path, spec: StudySpec) -> None:
        self.path = path
        self._ids: dict[tuple[str, str], int] = {}
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_SECONDS)
            found = self._open()
        except sqlite3.Error as error:
            if _is_full(error):
                raise DiskFullError(str(error)) from error
            raise UserError(f"cannot use it as a study's store: {error}", where=str(path)) from error
        if found.get("format", FORMAT) != FORMAT:
            raise UserError(f"the store is a {found['format']}", where=str(path), hint=f"this version writes {FORMAT}")
        if found.get("name", spec.name) != spec.name:
            raise UserError(
                f"the store holds the study {found['name']!r}",
                where=str(path),
                hint=f"give {spec.name!r} a store of its own",
            )
        self._make_reserve()
        with self._transaction():
            self._set_meta({"format": FORMAT, "name": spec.name})

    def is_priced(self, sha256: str) -> bool | None:
        """Whether the graph of a digest carries its own prices, as far as the store knows."""
        row = self._connection.execute("SELECT priced FROM graphs WHERE sha256 = ?", (sha256,)).fetchone()
        return None if row is None else bool(row[0])

    def set_plan(self, plan: Plan, spec: StudySpec, *, any_code: bool) -> list[PlannedRun]:
        """Replace the plan and return the runs that are still to be done, in order.

        Parameters
        ----------
        any_code
            Whether a run made with another version of the code counts as done; the newest stands in.
        """
        rows, open_runs = [], []
        with self._transaction():
            done = {key for (key,) in self._connection.execute("SELECT key FROM runs")}
            others: dict[str, str] = {}
            if any_code:
                others = dict(self._connection.execute("SELECT identity, key FROM runs ORDER BY id"))
            for position, run in enumerate(plan.runs):
                key = run.key if run.key in done else others.get(run.identity, run.key)
                if key not in done:
                    open_runs.append(run)
                label = run.choice.label
                if len(run.choice.budgets) > 1:
                    label += f" @ {run.budget:g} s"
                graph_id, device_id = self._graph_id(run), self._device_id(run)
                rows.append(
                    (position, key, graph_id, device_id, run.graph.collection, run.stages, label, run.seed, run.budget)
                )
            self._connection.execute("DELETE FROM plan")
            self._connection.executemany("INSERT INTO plan VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            self._set_meta(
                {
                    "code": plan.code,
                    "left_out": str(plan.left_out),
                    "planned_at": _now(),
                    "spec": spec.text,
                    "description": spec.description,
                }
            )
        return open_runs

    def forget_failed(self) -> int:
        """Drop the runs that failed, so that they are done again; return how many."""
        with self._transaction():
            return self._connection.execute("DELETE FROM runs WHERE state = 'failed'").rowcount

    def record(self, run: PlannedRun, finished: Finished, *, code: str, attempts: int) -> None:
        """Save a run, whole or not at all.

        Raises
        ------
        DiskFullError
            If there is no room, not even after the reserve was given up.
        """
        try:
            self._record(run, finished, code, attempts)
        except DiskFullError:
            if not self._drop_reserve():
                raise
            self._record(run, finished, code, attempts)

    @property
    def has_reserve(self) -> bool:
        """Whether the reserve is still there; without it the next full disk loses what is being computed."""
        return self._reserve.exists()

    def close(self) -> None:
        """Fold the write-ahead log into the file, as far as readers allow, and close it."""
        with contextlib.suppress(sqlite3.Error):
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._connection.close()
        self._drop_reserve()

    def _open(self) -> dict[str, str]:
        run = self._connection.execute
        run("PRAGMA journal_mode = WAL")
        # In WAL mode FULL is what makes a committed run survive a power cut, not only a crash of the process.
        run("PRAGMA synchronous = FULL")
        run("PRAGMA foreign_keys = ON")
        tables = {name for (name,) in run("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "meta" not in tables:
            raise sqlite3.DatabaseError("another program's database")
        found = dict(run("SELECT name, value FROM meta")) if tables else {}
        if found.get("format", FORMAT) == FORMAT:
            self._connection.executescript(
                "BEGIN IMMEDIATE;" + files("framework.study").joinpath("schema.sql").read_text("utf-8") + "COMMIT;"
            )
            check_store(self._connection, self.path)
        return found

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            yield
            self._connection.execute("COMMIT")
        except BaseException as error:
            self._ids.clear()
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error) and _is_full(error):
                raise DiskFullError(str(error)) from error
            raise

    def _record(self, run: PlannedRun, finished: Finished, code: str, attempts: int) -> None:
        facts = projected(finished.document)
        with self._transaction():
            row: dict[str, Any] = {
                "key": run.key,
                "identity": run.identity,
                "graph_id": self._graph_id(run),
                "device_id": self._device_id(run),
                "entry_id": self._id("entries", "parameters", run.parameters, entry=run.choice.entry),
                "environment_id": self._environment_id(finished.environment),
                "code": code,
                "stages": run.stages,
                "seed": run.seed,
                "budget": run.budget,
                "state": "failed" if finished.document is None else "done",
                "error": finished.error,
                "attempts": attempts,
                "instance": finished.instance or None,
                "wall": finished.wall,
                "host": finished.host or None,
                "finished_at": _now(),
                **facts.columns,
            }
            run_id = self._insert("runs", row)
            rows: dict[str, list[tuple[Any, ...]]] = {
                "bounds": facts.bounds,
                "trajectory": facts.trajectory,
                "faults": facts.faults,
                "contradictions": facts.contradictions,
            }
            for table, values in rows.items():
                if values:
                    marks = ", ".join("?" * (1 + len(values[0])))
                    self._connection.executemany(
                        f"INSERT INTO {table} VALUES ({marks})", [(run_id, *value) for value in values]
                    )
            if finished.document is not None:
                packed = zlib.compress(json.dumps(finished.document, separators=(",", ":")).encode(), 6)
                self._connection.execute("INSERT INTO documents VALUES (?, ?)", (run_id, packed))

    def _set_meta(self, facts: Mapping[str, str]) -> None:
        self._connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(facts.items()))

    def _graph_id(self, run: PlannedRun) -> int:
        graph = run.graph
        return self._id(
            "graphs",
            "sha256",
            graph.sha256,
            name=graph.name,
            path=graph.choice.path,
            family=graph.family,
            task=graph.task,
            nodes=graph.nodes,
            tensors=graph.tensors,
            priced=int(graph.priced),
        )

    def _device_id(self, run: PlannedRun) -> int:
        figures = json.dumps(device_figures(run.device), sort_keys=True)
        name = "own prices" if run.device is None else run.device.name
        return self._id("devices", "digest", figures, name=name, figures=figures)

    def _environment_id(self, environment: Mapping[str, Any]) -> int | None:
        if not environment:
            return None
        facts = json.dumps(environment, sort_keys=True)
        return self._id("environments", "digest", facts, facts=facts)

    def _id(self, table: str, unique: str, value: str, **columns: Any) -> int:
        """Return the id of a row of a small table, which is added where it is missing."""
        if (table, value) not in self._ids:
            row = self._connection.execute(f"SELECT id FROM {table} WHERE {unique} = ?", (value,)).fetchone()
            self._ids[table, value] = self._insert(table, {unique: value, **columns}) if row is None else int(row[0])
        return self._ids[table, value]

    def _insert(self, table: str, row: Mapping[str, Any]) -> int:
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        cursor = self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    @property
    def _reserve(self) -> Path:
        return self.path.with_name(f"{self.path.name}.reserve")

    def _make_reserve(self) -> None:
        try:
            self._reserve.write_bytes(b"\0" * RESERVE_BYTES)
        except OSError as error:
            self._drop_reserve()
            self._connection.close()
            raise DiskFullError(f"no room for a reserve of {RESERVE_BYTES >> 20} MiB: {error.strerror}") from error

    def _drop_reserve(self) -> bool:
        try:
            self._reserve.unlink()
        except OSError:
            return False
        return True


def _is_full(error: sqlite3.Error) -> bool:
    name = getattr(error, "sqlite_errorname", "") or ""
    return name == "SQLITE_FULL" or name.startswith("SQLITE_IOERR")


def _now() -> str:
    return datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="milliseconds")

"""The runs of a store as arrays, one element a run; read in one go, also while a study writes."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from framework.errors import UserError
from framework.fields import Fields, check_values, shown
from framework.formats.source import parse_json
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray
from framework.study.checking import check_store
from framework.study.store import FORMAT

UNKNOWN = -1
"""A bound or an incumbent that is not known, in arrays of ticks, which are never negative."""

Flags: TypeAlias = NDArray[np.bool_]

_RUNS = """
SELECT runs.id, plan.position IS NOT NULL AND plan.collection = coalesce(?, plan.collection),
    coalesce(plan.label, entries.entry), coalesce(plan.collection, ''),
    runs.graph_id, runs.device_id, runs.stages, runs.seed, runs.budget, runs.state = 'done',
    coalesce(runs.instance, ''), coalesce(runs.dual, -1), coalesce(runs.simple, -1), coalesce(runs.own, -1),
    coalesce(runs.incumbent, -1), coalesce(runs.seconds, 0.0), runs.wall, coalesce(runs.ticks_per_unit, 1.0),
    coalesce(runs.incumbent_source, ''), coalesce(runs.status, 'failed'), coalesce(runs.unit, ''),
    coalesce(runs.dual_source, ''), coalesce(runs.soundness, '')
FROM runs JOIN entries ON entries.id = runs.entry_id LEFT JOIN plan ON plan.key = runs.key ORDER BY runs.id
"""
_PLAN_COUNTS = "SELECT label, count(*) FROM plan WHERE collection = coalesce(?, collection) GROUP BY label"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GraphRow:
    """A graph of the store."""

    name: str
    sha256: str
    family: str
    task: str
    nodes: int
    tensors: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StudyData:
    """All runs of a store; arrays have one element a run unless said otherwise.

    Attributes
    ----------
    planned
        Whether the run belongs to the current plan; others count for the virtual best and the cross-check only.
    label, collection, graph, device
        Indices into `labels`, `collections`, `graphs`, `devices`.
    pair
        Number of the problem: equal for runs whose priced instances and numbers of stages are equal; -1 where
        the run has no result.
    dual, simple, own, incumbent
        Ticks; `UNKNOWN` where there is none. `simple` is the bound every run starts from, `own` the best without it.
    best
        The virtual best incumbent of the run's problem, over all runs of the store; `UNKNOWN` where there is none.
    unit, dual_source, soundness
        What `ticks_per_unit` speaks of; which entry proved the best dual bound, and what that rests on; empty without.
    plan_counts
        Planned runs by label.
    """

    name: str
    description: str
    path: Path
    left_out: int
    run_id: IntArray
    planned: Flags
    label: IntArray
    collection: IntArray
    graph: IntArray
    device: IntArray
    stages: IntArray
    seed: IntArray
    budget: FloatArray
    done: Flags
    pair: IntArray
    dual: IntArray
    simple: IntArray
    own: IntArray
    incumbent: IntArray
    best: IntArray
    seconds: FloatArray
    wall: FloatArray
    ticks_per_unit: FloatArray
    incumbent_source: Sequence[str]
    status: Sequence[str]
    unit: Sequence[str]
    dual_source: Sequence[str]
    soundness: Sequence[str]
    labels: list[str]
    collections: list[str]
    graphs: list[GraphRow]
    devices: list[str]
    device_figures: list[dict[str, Any] | None]
    environments: list[dict[str, Any]]
    codes: list[str]
    plan_counts: dict[str, int]

    @property
    def count(self) -> int:
        """Number of runs in the store."""
        return len(self.run_id)

    @property
    def answered(self) -> Flags:
        """Runs of the plan that have a result."""
        return self.planned & self.done


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a store for reading, in one snapshot; works while a study writes.

    Raises
    ------
    UserError
        If there is no such store.
    """
    if not os.path.isfile(path):
        raise UserError("there is no such store", where=str(path), hint="`pipebound study run SPEC` makes it")
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        try:
            connection.execute("BEGIN")
            found = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
        except sqlite3.OperationalError as error:
            # A write-ahead log cannot be opened for reading in a folder without write permission.
            connection.close()
            if "no such table" in str(error):
                raise
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?immutable=1", uri=True, isolation_level=None)
            found = connection.execute("SELECT value FROM meta WHERE name = 'format'").fetchone()
    except sqlite3.Error as error:
        raise UserError(f"not a study's store: {error}", where=str(path)) from error
    try:
        if found is None or found[0] != FORMAT:
            raise UserError("not a study's store of this version", where=str(path), hint=f"this is {FORMAT}")
        check_store(connection, path)
        yield connection
    except sqlite3.Error as error:
        raise UserError(f"the store is damaged: {error}", where=str(path), hint="restore it from a copy") from error
    finally:
        connection.close()


def read_study(path: Path) -> StudyData:
    """Read all runs of a store."""
    with reading(path) as connection:
        return load(connection, path)


def load(connection: sqlite3.Connection, path: Path, collection: str | None = None) -> StudyData:
    """Read all runs from an open store; with `collection`, only its runs count as planned.

    Raises
    ------
    UserError
        If the plan has no such collection.
    """
    meta = dict(connection.execute("SELECT name, value FROM meta"))
    planned_collections = [
        name for (name,) in connection.execute("SELECT collection FROM plan GROUP BY collection ORDER BY min(position)")
    ]
    if collection is not None and collection not in planned_collections:
        known = ", ".join(planned_collections)
        raise UserError(f"this study has no graphs of '{collection}'", where=str(path), hint=f"it has: {known}")
    columns = _columns(connection, _RUNS, 23, collection)
    graph_ids, graphs = _table(connection, "SELECT id, name, sha256, family, task, nodes, tensors FROM graphs")
    device_ids, devices = _table(connection, "SELECT id, name, figures FROM devices")
    labels = [label for (label,) in connection.execute("SELECT label FROM plan GROUP BY label ORDER BY min(position)")]
    collections = planned_collections if collection is None else [collection]
    stages = np.array(columns[6], np.int64)
    done = np.array(columns[9], np.int64) != 0
    incumbent = np.array(columns[14], np.int64)
    pair = _pairs(columns[10], stages, done)
    return StudyData(
        name=meta.get("name", path.stem),
        description=meta.get("description", ""),
        path=path,
        left_out=_count(meta.get("left_out", "0"), path),
        run_id=np.array(columns[0], np.int64),
        planned=np.array(columns[1], np.int64) != 0,
        label=_indices(columns[2], labels),
        collection=_indices(columns[3], collections),
        graph=np.searchsorted(graph_ids, np.array(columns[4], np.int64)),
        device=np.searchsorted(device_ids, np.array(columns[5], np.int64)),
        stages=stages,
        seed=np.array(columns[7], np.int64),
        budget=np.array(columns[8], np.float64),
        done=done,
        pair=pair,
        dual=np.array(columns[11], np.int64),
        simple=np.array(columns[12], np.int64),
        own=np.array(columns[13], np.int64),
        incumbent=incumbent,
        best=virtual_best(pair, incumbent),
        seconds=np.array(columns[15], np.float64),
        wall=np.array(columns[16], np.float64),
        ticks_per_unit=np.array(columns[17], np.float64),
        incumbent_source=columns[18],
        status=columns[19],
        unit=columns[20],
        dual_source=columns[21],
        soundness=columns[22],
        labels=labels,
        collections=collections,
        graphs=[GraphRow(name=n, sha256=s, family=f, task=t, nodes=v, tensors=m) for n, s, f, t, v, m in graphs],
        devices=[name for name, _ in devices],
        device_figures=[_object(figures, path, "devices.figures") for _, figures in devices],
        environments=[
            _object(facts, path, "environments.facts") or {}
            for (facts,) in connection.execute("SELECT facts FROM environments")
        ],
        codes=[code for (code,) in connection.execute("SELECT DISTINCT code FROM runs ORDER BY code")],
        plan_counts=dict(connection.execute(_PLAN_COUNTS, [collection])),
    )


def virtual_best(pair: IntArray, incumbent: IntArray) -> IntArray:
    """Return the smallest known incumbent of every run's pair; `UNKNOWN` where there is none.

    Parameters
    ----------
    pair
        ``[runs]``, -1 for none.
    incumbent
        ``[runs]`` ticks or `UNKNOWN`.
    """
    nothing = np.iinfo(np.int64).max
    best = np.full(int(pair.max(initial=-1)) + 1, nothing)
    known = (pair >= 0) & (incumbent != UNKNOWN)
    np.minimum.at(best, pair[known], incumbent[known])
    result = np.where(pair >= 0, best[np.maximum(pair, 0)] if len(best) else nothing, nothing)
    return np.where(result == nothing, UNKNOWN, result)


def _pairs(instances: Sequence[str], stages: IntArray, done: Flags) -> IntArray:
    numbers: dict[tuple[str, int], int] = {}
    pairs = np.full(len(stages), -1, np.int64)
    for i, (instance, k) in enumerate(zip(instances, stages.tolist(), strict=True)):
        if done[i]:
            pairs[i] = numbers.setdefault((instance, k), len(numbers))
    return pairs


def _indices(values: Sequence[str], names: list[str]) -> IntArray:
    """Return the index of each value in `names`, to which unknown values are added."""
    index = {name: i for i, name in enumerate(names)}
    result = np.zeros(len(values), np.int64)
    for i, value in enumerate(values):
        if value not in index:
            index[value] = len(names)
            names.append(value)
        result[i] = index[value]
    return result


def _count(text: str, path: Path) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise UserError(f"the store's meta.left_out is {shown(text)}", where=str(path))
    return int(text)


def _object(text: str, path: Path, column: str) -> dict[str, Any] | None:
    """Return the object that a column holds as JSON; None for null."""
    where = f"{path}: {column}"
    value = parse_json(text.encode(), where)
    if value is None:
        return None
    check_values(value, where)
    return Fields(value, where).everything()


def _columns(connection: sqlite3.Connection, query: str, width: int, *values: str | None) -> list[Sequence[Any]]:
    rows = connection.execute(query, values).fetchall()
    return list(zip(*rows, strict=True)) if rows else [() for _ in range(width)]


def _table(connection: sqlite3.Connection, query: str) -> tuple[IntArray, list[tuple[Any, ...]]]:
    rows = connection.execute(f"{query} ORDER BY id").fetchall()
    return np.array([row[0] for row in rows], np.int64), [row[1:] for row in rows]

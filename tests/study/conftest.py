"""A folder with small graphs, and specs on them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from framework.study.plan import Plan, PlannedRun
from framework.study.spec import read_spec
from framework.study.store import Store
from framework.study.task import Finished
from framework.testing.studies import made_up_folder

WriteSpec = Callable[..., Path]
StoreOf = Callable[..., Path]


@pytest.fixture
def write_spec(tmp_path: Path) -> WriteSpec:
    """Write ``study.toml`` in a folder with three graphs; arguments replace keys, None removes one."""
    made_up_folder(tmp_path)

    def write(run: dict[str, Any] | None = None, extra: str = "", **changes: Any) -> Path:
        keys: dict[str, Any] = {
            "name": "trial",
            "graphs": ["braid-*.graph.json"],
            "stages": [2, 3],
            "entries": ["slice-graph", "ideal-dp"],
            "budgets": ["5s"],
        }
        keys |= changes
        lines = [f"{key} = {_toml(value)}" for key, value in keys.items() if value is not None]
        lines += ["[run]", *(f"{key} = {_toml(value)}" for key, value in (run or {}).items()), extra]
        path = tmp_path / "study.toml"
        path.write_text("\n".join(lines) + "\n")
        return path

    return write


@pytest.fixture
def store_of(write_spec: WriteSpec) -> StoreOf:
    """Make a store from (run, result) pairs; runs whose result is None are planned and open."""
    spec = read_spec(write_spec())

    def make(cases: Sequence[tuple[PlannedRun, Finished | None]], planned: Sequence[PlannedRun] | None = None) -> Path:
        store = Store(spec.store, spec)
        runs = tuple(run for run, _ in cases) if planned is None else tuple(planned)
        store.set_plan(Plan(runs=runs, settings=spec.run, code="v1", left_out=3), spec, any_code=False)
        for run, result in cases:
            if result is not None:
                store.record(run, result, code="v1", attempts=1)
        store.close()
        return spec.store

    return make


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value)

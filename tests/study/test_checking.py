"""A damaged store gives one clear line, whatever reads it."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.errors import UserError
from framework.report.study.export import export_results
from framework.study.analysis.report import make_report
from framework.study.spec import read_spec
from framework.study.store import Store
from framework.testing.studies import made_up_result, made_up_run
from tests.study.conftest import WriteSpec


@pytest.fixture
def store(write_spec: WriteSpec) -> Path:
    spec = read_spec(write_spec())
    store = Store(spec.store, spec)
    run = made_up_run("g", 2, "a")
    history = [(0.0, 10, 40, "balanced"), (1.0, 20, 20, "annealing")]
    store.record(run, made_up_result(run, simple=10, trajectory=history, seconds=1.0), code="v1", attempts=1)
    store.close()
    return spec.store


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("DROP TABLE bounds", "lacks its table bounds"),
        ("ALTER TABLE runs RENAME COLUMN incumbent_source TO x", "lacks the column incumbent_source of its table runs"),
        ("UPDATE runs SET stages = 'two'", "runs.stages is 'two'"),
        ("UPDATE runs SET wall = 9e999", "runs.wall is inf"),
        ("UPDATE runs SET dual = 4.7", "runs.dual is 4.7"),
        ("UPDATE trajectory SET source = x'00ff'", r"trajectory.source is b'\\x00\\xff'"),
        ("UPDATE devices SET figures = '[1'", "devices.figures is '\\[1'"),
        ("UPDATE environments SET facts = '[]'", "environments.facts is '\\[\\]'"),
        ("DELETE FROM runs", "refers to a row that runs lacks"),
        ("DELETE FROM graphs", "refers to a row that graphs lacks"),
    ],
)
def test_damage_is_named(store: Path, write_spec: WriteSpec, damage: str, said: str) -> None:
    with sqlite3.connect(store) as writer:
        changed = writer.execute(damage)
        assert changed.rowcount != 0
    writer.close()
    readers: list[Callable[[], object]] = [lambda: make_report(store)]
    if not damage.startswith("DROP"):  # The writer makes tables that are missing.
        readers.append(lambda: Store(store, read_spec(write_spec())))
    for reader in readers:
        with pytest.raises(UserError, match=said) as caught:
            reader()
        assert str(store) in str(caught.value)


def test_a_damaged_document_is_named(store: Path, tmp_path: Path) -> None:
    packed, words = "the document of run .* is damaged", "documents, run .*: not valid JSON"
    damaged = [(b"no zlib", packed), (zlib.compress(b"{"), words), (zlib.compress(b"{}")[:-2], packed)]
    for document, said in damaged:
        with sqlite3.connect(store) as writer:
            writer.execute("UPDATE documents SET document = ?", (document,))
        writer.close()
        with pytest.raises(UserError, match=said):
            export_results(store, tmp_path / "results")


def test_a_name_that_is_too_long_is_no_store() -> None:
    with pytest.raises(UserError, match="there is no such store"):
        make_report(Path("x" * 500))

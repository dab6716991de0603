"""The store: one transaction a run, one writer, readers at any time, a full disk."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest

from framework.errors import UserError
from framework.study.lock import is_being_written, writer_lock
from framework.study.plan import Plan
from framework.study.spec import StudySpec, read_spec
from framework.study.store import DiskFullError, Store
from framework.testing.studies import made_up_result, made_up_run
from tests.study.conftest import WriteSpec

HISTORY = [(0.0, 10, 40, "balanced"), (0.5, 20, 40, "cuts"), (1.0, 20, 20, "annealing")]

WRITER = """
import sys
from pathlib import Path
from framework.study.spec import read_spec
from framework.study.store import Store
from framework.testing.studies import made_up_result, made_up_run
spec = read_spec(Path(sys.argv[1]))
store = Store(spec.store, spec)
for i in range(int(sys.argv[2]), 100_000):
    run = made_up_run(f"g{i}", 4, "a", nodes=500)
    history = [(0.01 * t, 10 + t, 1000 - t, f"s{t % 7}") for t in range(60)]
    store.record(run, made_up_result(run, simple=9, trajectory=history, seconds=1.0), code="c", attempts=1)
    print(i, flush=True)
"""


@pytest.fixture
def spec(write_spec: WriteSpec) -> StudySpec:
    return read_spec(write_spec())


def plan_of(spec: StudySpec, *names: str) -> Plan:
    return Plan(runs=tuple(made_up_run(name, 2, "a") for name in names), settings=spec.run, code="v1", left_out=0)


def test_what_is_recorded_is_all_there(spec: StudySpec) -> None:
    store = Store(spec.store, spec)
    run = made_up_run("g", 2, "a")
    claim = {"source": "liar", "dual_bound_ticks": 99, "incumbent_ticks": 20, "incumbent_source": "annealing"}
    result = made_up_result(
        run, simple=10, trajectory=HISTORY, seconds=1.0, faults=[("m", "crashed")], contradictions=[claim]
    )
    store.record(run, result, code="v1", attempts=2)
    with sqlite3.connect(spec.store) as reader:
        reader.row_factory = sqlite3.Row
        (row,) = reader.execute("SELECT * FROM runs")
        assert (row["dual"], row["incumbent"], row["simple"], row["own"]) == (20, 20, 10, 20)
        assert (row["status"], row["state"], row["attempts"], row["code"]) == ("optimal", "done", 2, "v1")
        points = reader.execute("SELECT seconds, dual, incumbent, source FROM trajectory ORDER BY step").fetchall()
        assert [tuple(point) for point in points] == [(0.0, 10, None, "simple"), *HISTORY]
        bounds = {tuple(bound) for bound in reader.execute("SELECT source, ticks, soundness FROM bounds")}
        assert bounds == {("simple", 10, "exact"), ("cuts", 20, "exact"), ("annealing", 20, "exact")}
        assert tuple(reader.execute("SELECT member, detail FROM faults").fetchone()) == ("m", "crashed")
        assert tuple(reader.execute("SELECT source, dual FROM contradictions").fetchone()) == ("liar", 99)
        assert "cpu" in json.loads(reader.execute("SELECT facts FROM environments").fetchone()[0])
        packed = reader.execute("SELECT document FROM documents").fetchone()[0]
        assert json.loads(zlib.decompress(packed)) == result.document
    store.close()


def test_a_run_is_recorded_once(spec: StudySpec) -> None:
    store = Store(spec.store, spec)
    run = made_up_run("g", 2, "a")
    result = made_up_result(run, simple=10, trajectory=HISTORY, seconds=1.0)
    store.record(run, result, code="v1", attempts=1)
    with pytest.raises(sqlite3.IntegrityError):
        store.record(run, result, code="v1", attempts=1)
    store.record(made_up_run("h", 2, "a"), result, code="v1", attempts=1)
    store.close()


def test_only_what_is_missing_is_open(spec: StudySpec) -> None:
    store = Store(spec.store, spec)
    plan = plan_of(spec, "g", "h")
    assert [run.graph.name for run in store.set_plan(plan, spec, any_code=False)] == ["g", "h"]
    result = made_up_result(plan.runs[0], simple=10, trajectory=HISTORY, seconds=1.0)
    store.record(plan.runs[0], result, code="v1", attempts=1)
    assert [run.graph.name for run in store.set_plan(plan, spec, any_code=False)] == ["h"]
    store.close()


def test_runs_of_other_code_count_only_when_asked(spec: StudySpec) -> None:
    from dataclasses import replace

    store = Store(spec.store, spec)
    old = made_up_run("g", 2, "a")
    store.record(old, made_up_result(old, simple=10, trajectory=HISTORY, seconds=1.0), code="v1", attempts=1)
    plan = Plan(runs=(replace(old, key="g with new code"),), settings=spec.run, code="v2", left_out=0)
    assert len(store.set_plan(plan, spec, any_code=False)) == 1
    assert store.set_plan(plan, spec, any_code=True) == []
    with sqlite3.connect(spec.store) as reader:
        assert reader.execute("SELECT key FROM plan").fetchall() == [(old.key,)]
    store.close()


def test_readers_see_every_finished_run_while_the_store_is_written(spec: StudySpec) -> None:
    store = Store(spec.store, spec)
    reader = sqlite3.connect(f"file:{spec.store}?mode=ro", uri=True)
    for i in range(5):
        run = made_up_run(f"g{i}", 2, "a")
        store.record(run, made_up_result(run, simple=1, trajectory=HISTORY, seconds=1.0), code="v1", attempts=1)
        assert reader.execute("SELECT count(*) FROM runs").fetchone() == (i + 1,)
    reader.close()
    store.close()


def test_a_kill_at_any_moment_leaves_whole_runs_and_all_that_were_confirmed(spec: StudySpec) -> None:
    moments = random.Random(7)
    confirmed = 0
    for _ in range(10):
        command = [sys.executable, "-c", WRITER, str(spec.path), str(confirmed)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            said = [process.stdout.readline()]
            time.sleep(moments.uniform(0.0, 0.25))
            process.send_signal(signal.SIGKILL)
            said += process.stdout.read().splitlines()
        confirmed = int(said[-1]) + 1
        with sqlite3.connect(spec.store) as reader:
            assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            (runs,) = reader.execute("SELECT count(*) FROM runs").fetchone()
            # One more can be in the file whose confirmation did not get out.
            assert confirmed <= runs <= confirmed + 1
            parts = reader.execute(
                "SELECT (SELECT count(*) FROM trajectory WHERE run_id = id), (SELECT count(*) FROM bounds WHERE"
                " run_id = id), (SELECT count(*) FROM documents WHERE run_id = id) FROM runs"
            )
            assert set(parts) == {(61, 8, 1)}
        confirmed = runs
    assert confirmed > 20


def fill(store: Store, *, pages: int) -> None:
    """Make the database behave as on a disk with so many pages left."""
    connection = store._connection
    (used,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {used + pages}")


def test_a_full_disk_tears_nothing_and_costs_nothing_that_was_saved(spec: StudySpec) -> None:
    store = Store(spec.store, spec)
    fill(store, pages=30)
    saved = 0

    def save(count: int) -> None:
        nonlocal saved
        for _ in range(count):
            run = made_up_run(f"g{saved}", 2, "a")
            store.record(run, made_up_result(run, simple=1, trajectory=HISTORY, seconds=1.0), code="v1", attempts=1)
            saved += 1

    with pytest.raises(DiskFullError):
        save(1000)
    assert saved > 3
    assert not store.has_reserve
    store._connection.execute("PRAGMA max_page_count = 1000000")
    save(1)
    store.close()
    with sqlite3.connect(spec.store) as reader:
        assert reader.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert reader.execute("SELECT count(*) FROM runs").fetchone() == (saved,)
        assert reader.execute("SELECT count(*) FROM documents").fetchone() == (saved,)
        assert reader.execute("SELECT count(*) FROM trajectory").fetchone() == (4 * saved,)


def test_the_reserve_lets_a_run_be_saved_on_a_full_disk(spec: StudySpec, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(spec.store, spec)
    fill(store, pages=0)
    drop = store._drop_reserve

    def free_space() -> bool:
        if dropped := drop():
            store._connection.execute("PRAGMA max_page_count = 1000000")
        return dropped

    monkeypatch.setattr(store, "_drop_reserve", free_space)
    run = made_up_run("g", 2, "a")
    history = [(float(t), t, 9000 - t, "a") for t in range(2000)]
    store.record(run, made_up_result(run, simple=1, trajectory=history, seconds=1.0), code="v1", attempts=1)
    assert not store.has_reserve
    assert store._connection.execute("SELECT count(*) FROM trajectory").fetchone() == (2001,)
    monkeypatch.undo()
    store.close()
    assert not list(spec.store.parent.glob("*.reserve"))


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        ("CREATE TABLE meta (name TEXT, value TEXT); INSERT INTO meta VALUES ('format', 'pipebound-study 9')", "9"),
        ("CREATE TABLE other (x)", "another program"),
        ("CREATE TABLE meta (name, value); INSERT INTO meta VALUES ('name', 'mine')", "holds the study 'mine'"),
    ],
)
def test_foreign_files_are_refused(spec: StudySpec, prepare: str, words: str) -> None:
    with sqlite3.connect(spec.store) as other:
        other.executescript(prepare)
    other.close()
    with pytest.raises(UserError, match=words):
        Store(spec.store, spec)


def test_a_file_that_is_no_database_is_refused(spec: StudySpec) -> None:
    spec.store.write_text("this is a text" * 100)
    with pytest.raises(UserError, match="cannot use it"):
        Store(spec.store, spec)


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    store = tmp_path / "s.sqlite"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom framework.study.lock import writer_lock\n"
        "with writer_lock(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    )
    assert not is_being_written(store)
    holder = subprocess.Popen([sys.executable, "-c", code, str(store)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    assert is_being_written(store)
    with pytest.raises(UserError, match=f"process {holder.pid} on .* is writing"), writer_lock(store):
        pass
    holder.kill()
    holder.communicate()
    assert not is_being_written(store)
    with writer_lock(store):
        pass


def test_a_folder_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="folder must exist"), writer_lock(tmp_path / "absent" / "s.sqlite"):
        pass

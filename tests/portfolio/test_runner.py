"""The runner: faults cost their member only, budgets hold, the interval is shared."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from framework.bounds import Limit, Reason
from framework.model.problem import Problem, bottleneck
from framework.portfolio.members import Member, MemberReport, RunRecord
from framework.portfolio.run_options import RunOptions
from framework.portfolio.runner import Runner
from framework.testing.instances import random_layered_instance

FAULTY = str(Path(__file__).parent.parent / "plugins" / "faulty.py")
GOOD = Member(entry="anchored-cut")
PROBLEM = Problem(instance=random_layered_instance(1, 60), stages=4)


def run(
    *members: Member, budget: float = 20.0, memory_mib: int | None = None, **changes: object
) -> tuple[Runner, RunRecord]:
    options = RunOptions(
        started=time.monotonic(),
        budget=budget,
        workers=2,
        memory_bytes=None if memory_mib is None else memory_mib << 20,
        plugin_files=(FAULTY,),
    )
    runner = Runner(PROBLEM, members, options, **changes)  # type: ignore[arg-type]
    return runner, runner.run()


def report_of(record: RunRecord, name: str) -> MemberReport:
    return next(report for report in record.members if report.name == name)


@pytest.fixture(scope="module")
def undisturbed() -> int:
    """What the good member proves when nothing goes wrong."""
    runner, _ = run(GOOD)
    assert runner.board.dual is not None
    return runner.board.dual.value


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("test-raises", "RuntimeError: as planned (faulty.py:"),
        ("test-killed", "killed by SIGKILL"),
        ("test-aborts", "killed by SIGABRT: terminate called: as planned"),
        ("test-eats", "out of memory (limit 512 MiB)"),
    ],
)
def test_a_fault_costs_its_member_only_and_is_named(entry: str, words: str, undisturbed: int) -> None:
    runner, record = run(Member(entry=entry), GOOD, memory_mib=512)
    fault = report_of(record, entry).termination
    assert fault.reason is Reason.FAULT
    assert words in fault.detail
    assert report_of(record, "anchored-cut").termination.reason is not Reason.FAULT
    assert runner.board.dual is not None
    assert runner.board.dual.value == undisturbed
    assert runner.board.incumbent is not None
    assert bottleneck(PROBLEM, runner.board.incumbent.partition) == runner.board.incumbent.value


@pytest.mark.parametrize("entry", ["test-hangs", "test-stops"])
def test_a_member_past_its_deadline_is_ended_and_its_reports_are_kept(entry: str) -> None:
    runner, record = run(Member(entry=entry, share=0.05), budget=20.0)
    fault = report_of(record, entry).termination
    assert fault.reason is Reason.FAULT
    assert "did not end at its deadline" in fault.detail
    assert entry in {bound.source for bound in runner.board.bounds}
    assert record.seconds < 20.0


def test_the_budget_holds_when_every_member_hangs() -> None:
    runner, record = run(Member(entry="test-hangs"), Member(entry="test-stops"), budget=2.0)
    assert record.termination.limit is Limit.TIME
    assert runner.board.incumbent is not None
    assert record.seconds < 3.0


def test_a_false_bound_is_quarantined_and_the_evidence_kept(undisturbed: int) -> None:
    runner, record = run(Member(entry="test-lies"), GOOD)
    (evidence,) = runner.board.contradictions
    assert evidence.bound.source == "test-lies"
    assert evidence.bound.value == 1 << 50
    assert report_of(record, "test-lies").termination.reason is Reason.FAULT
    assert runner.board.dual is not None
    assert runner.board.dual.value == undisturbed


def test_an_invalid_partition_is_refused_with_the_reason() -> None:
    runner, _ = run(Member(entry="test-misplaces", space="original"))
    assert runner.board.rejected == [("test-misplaces", "a stage is outside 0..3")]
    assert runner.board.incumbent is not None
    assert runner.board.incumbent.source == "balanced"


def test_an_unknown_entry_is_a_fault_of_its_member() -> None:
    _, record = run(Member(entry="no-such-entry"), GOOD)
    assert "nothing is registered as 'no-such-entry'" in report_of(record, "no-such-entry").termination.detail


def test_an_interrupt_ends_the_run_and_keeps_what_it_proved() -> None:
    started = time.monotonic()
    runner, record = run(Member(entry="test-waits"), budget=60.0, interrupted=lambda: time.monotonic() > started + 1.0)
    assert record.termination.reason is Reason.INTERRUPTED
    assert record.seconds < 30.0
    assert runner.board.interval.dual is not None
    assert runner.board.incumbent is not None


def test_members_wait_for_those_named_in_after() -> None:
    seen: list[str] = []
    run(
        Member(entry="test-raises", name="first"),
        Member(entry="test-killed", name="second", after=("first",)),
        on_change=lambda board, label, words: seen.append(label),
    )
    assert seen.index("first") < seen.index("second")
    assert "first" not in seen[seen.index("second") :]


def test_a_member_is_left_out_with_gaps_it_is_not_for() -> None:
    wide = Member(entry="slice-graph", name="wide", min_gap=0.0, max_gap=0.0)
    after = Member(entry="tensor-count", after=("wide",), min_gap=1e-6)
    _, record = run(wide, after)
    left_out = report_of(record, "wide")
    assert left_out.seconds == 0
    assert left_out.termination.reason is Reason.FINISHED
    assert left_out.termination.detail.startswith("left out: the gap is ")
    assert report_of(record, "tensor-count").seconds > 0


def test_no_partition_is_the_widest_gap() -> None:
    assert Member(entry="simple").suits(None)
    assert Member(entry="simple", min_gap=0.5).suits(None)
    assert not Member(entry="simple", max_gap=0.5).suits(None)
    assert Member(entry="simple", max_gap=0.5).suits(0.5)
    with pytest.raises(ValueError, match="min_gap at most max_gap"):
        Member(entry="simple", min_gap=0.5, max_gap=0.25)


def test_partitions_of_reduced_members_are_lifted_and_verified() -> None:
    runner, record = run(Member(entry="slice-graph"), budget=20.0)
    assert record.reduced is not None
    assert record.reduced.n <= PROBLEM.instance.n
    assert runner.board.incumbent is not None
    assert runner.board.incumbent.partition.stage_of.shape == (PROBLEM.instance.n,)
    assert not runner.board.rejected


def test_a_run_starts_from_both_sides() -> None:
    runner, _ = run(budget=20.0)
    assert runner.board.interval.dual is not None
    assert runner.board.incumbent is not None
    assert np.all(runner.board.incumbent.partition.stage_of < PROBLEM.stages)


def test_what_runs_inline_may_settle_the_run_before_any_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("no process is needed")

    monkeypatch.setattr("framework.portfolio.runner.MemberProcess", refuse)
    problem = Problem(instance=random_layered_instance(1, 12), stages=3)
    words: list[str] = []
    runner = Runner(
        problem,
        (Member(entry="few-ideals", inline=True), GOOD),
        RunOptions(started=time.monotonic(), budget=20.0, workers=2),
        on_change=lambda board, label, said: words.append(f"{label} {said}"),
    )
    record = runner.run()
    assert record.termination.reason is Reason.OPTIMAL
    assert [report.name for report in record.members] == ["presolve", "few-ideals"]
    assert record.reduced is not None
    assert runner.board.dual is not None
    assert runner.board.dual.source == "few-ideals"
    assert any(word.startswith("presolve 12 nodes reduced to") for word in words)


def test_what_runs_inline_is_left_out_where_the_gap_does_not_suit_it(undisturbed: int) -> None:
    runner, record = run(Member(entry="few-ideals", inline=True, max_gap=0.0), GOOD)
    assert runner.board.interval.relative_gap != 0
    assert report_of(record, "few-ideals").termination.detail.startswith("left out: the gap is ")
    assert [report.seconds for report in record.members if report.name == "few-ideals"] == [0.0]
    assert runner.board.dual is not None
    assert runner.board.dual.value == undisturbed


def test_a_fault_of_what_runs_inline_costs_that_member_only(undisturbed: int) -> None:
    runner, record = run(Member(entry="test-raises", inline=True), GOOD)
    assert "RuntimeError: as planned (faulty.py:" in report_of(record, "test-raises").termination.detail
    assert runner.board.dual is not None
    assert runner.board.dual.value == undisturbed


def test_what_runs_inline_listens_to_the_user() -> None:
    member = Member(entry="few-ideals", inline=True)
    runner, record = run(member, interrupted=lambda: True)
    assert record.termination.reason is Reason.INTERRUPTED
    assert runner.board.incumbent is not None
    with pytest.raises(ValueError, match="waits for no other"):
        Member(entry="few-ideals", inline=True, after=("simple",))

"""Summaries, integrals, profiles, curves and the cross-check against figures worked out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from framework.errors import UserError
from framework.study.analysis.data import read_study, reading
from framework.study.analysis.report import StudyReport, make_report
from framework.study.analysis.summary import Summary, closing_factor
from framework.study.analysis.trajectories import integrals, read_trajectories
from framework.study.plan import PlannedRun
from framework.study.task import Finished
from framework.testing.studies import made_up_result, made_up_run
from tests.study.conftest import StoreOf

History = list[tuple[float, int | None, int | None, str]]


def history(simple: int, *, dual: int, incumbent: int, at: float = 1.0, source: str = "m") -> History:
    """The start, then one improvement of both sides."""
    return [(0.0, simple, 200, "balanced"), (at, dual, incumbent, source)]


@pytest.fixture
def report(store_of: StoreOf) -> StudyReport:
    """Two graphs at k = 4, two entries; `a` proves more, `b` finds more."""
    cases: list[tuple[PlannedRun, Finished | None]] = []
    for graph, a, b, simple in (("g", 90, 80, 50), ("h", 100, 50, 25)):
        for label, dual, incumbent in (("a", a, 110), ("b", b, 100)):
            run = made_up_run(graph, 4, label, nodes=90 if graph == "g" else 5000, family=f"family {graph}")
            times = 2.0 if label == "a" else 4.0
            steps = history(simple, dual=dual, incumbent=incumbent)
            cases.append((run, made_up_result(run, simple=simple, trajectory=steps, seconds=times)))
    return make_report(store_of(cases))


def of(report: StudyReport, label: str) -> Summary:
    (group,) = report.stages
    return next(row for row in group.summaries if row.label == label)


def test_ratios_are_taken_over_the_best_partition_of_all_entries(report: StudyReport) -> None:
    a, b = of(report, "a"), of(report, "b")
    assert a.ratio == pytest.approx(math.sqrt(0.9 * 1.0))
    assert b.ratio == pytest.approx(math.sqrt(0.8 * 0.5))
    assert a.simple_ratio == b.simple_ratio == pytest.approx(math.sqrt(0.5 * 0.25))
    assert a.closing == pytest.approx((1 - math.sqrt(0.125)) / (1 - math.sqrt(0.9)))
    assert a.quality == pytest.approx(1.1)
    assert b.quality == pytest.approx(1.0)


def test_the_baseline_is_what_a_run_starts_from_even_for_the_entry_simple(store_of: StoreOf) -> None:
    run = made_up_run("g", 4, "simple")
    steps: History = [(0.0, 50, 100, "balanced"), (1.0, 80, 100, "simple")]
    report = make_report(store_of([(run, made_up_result(run, simple=50, trajectory=steps, seconds=1.0))]))
    row = report.stages[0].summaries[0]
    assert row.simple_ratio == pytest.approx(0.5)
    assert row.ratio == pytest.approx(0.8)
    assert row.own == 1.0


def test_proofs_are_of_a_runs_own_partition(report: StudyReport) -> None:
    # On h, `a` proves what `b` found, and does not know it.
    assert (of(report, "a").proven, of(report, "b").proven) == (0.0, 0.0)


def test_times_wins_and_losses(report: StudyReport) -> None:
    a, b = of(report, "a"), of(report, "b")
    assert (a.median_seconds, a.largest_seconds) == (2.0, 2.0)
    assert b.mean_seconds == pytest.approx(4.0)
    assert (a.wins, a.losses, b.wins, b.losses) == (2, 0, 0, 2)


def test_integrals_follow_the_steps(report: StudyReport) -> None:
    # a: one second with (1 - 1/2) and (1 - 1/4), then nine with 1/10 and 0 to the best, 100.
    assert of(report, "a").dual_integral == pytest.approx(((0.5 + 9 * 0.1) + (0.75 + 9 * 0.0)) / 2)
    # Partition: one second with (200 - 100) / 200, then nine with 10 / 110.
    assert of(report, "a").primal_integral == pytest.approx(0.5 + 9 * 10 / 110)
    assert of(report, "b").primal_integral == pytest.approx(0.5)


def test_integrals_count_what_comes_before_the_first_point_and_cut_at_the_budget(store_of: StoreOf) -> None:
    run = made_up_run("g", 4, "a", budget=5.0)
    steps: History = [(2.0, 50, 100, "m"), (4.0, 75, 100, "m"), (6.0, 100, 100, "m")]
    result = made_up_result(run, simple=50, trajectory=steps, seconds=6.0)
    assert result.document is not None
    del result.document["trajectory"][0]
    path = store_of([(run, result)])
    with reading(path) as connection:
        data = read_study(path)
        sums = integrals(data, read_trajectories(connection, data))
    assert sums.dual.tolist() == [pytest.approx(2 * 1.0 + 2 * 0.5 + 1 * 0.25)]
    assert sums.primal.tolist() == [pytest.approx(2 * 1.0)]


def test_breakdowns_by_family_and_size(report: StudyReport) -> None:
    assert [group.title for group in report.families] == ["family g", "family h"]
    assert [group.title for group in report.sizes] == ["1 to 100 nodes", "more than 3000 nodes"]
    assert report.families[0].summaries[0].ratio == pytest.approx(0.9)


def test_profiles_count_runs_and_curves_reach_the_final_gap(report: StudyReport) -> None:
    gaps = {profile.label: profile for profile in report.gap_profiles}
    a, b = gaps["a"], gaps["b"]
    assert np.interp(0.099, a.x, a.y) == pytest.approx(0.5)
    assert a.y[-1] == 1.0
    assert np.interp(0.3, b.x, b.y) == pytest.approx(0.5)
    for profile in (*report.gap_profiles, *report.time_profiles):
        assert (np.diff(profile.y) >= 0).all()
    assert all(profile.y[-1] == 0.0 for profile in report.time_profiles)
    curve = next(curve for curve in report.curves if curve.label == "a")
    assert curve.dual_gap[0] == pytest.approx((0.5 + 0.75) / 2)
    assert curve.dual_gap[-1] == pytest.approx(0.05)
    assert curve.primal_gap[-1] == pytest.approx(10 / 110)


def test_time_profiles_start_with_the_fastest(store_of: StoreOf) -> None:
    cases: list[tuple[PlannedRun, Finished | None]] = []
    for label, seconds in (("fast", 1.0), ("slow", 3.0)):
        run = made_up_run("g", 4, label)
        steps = history(50, dual=100, incumbent=100)
        cases.append((run, made_up_result(run, simple=50, trajectory=steps, seconds=seconds)))
    fast, slow = make_report(store_of(cases)).time_profiles
    assert (fast.label, fast.y[0], slow.y[0]) == ("fast", 1.0, 0.0)
    assert np.interp(2.9, slow.x, slow.y) < 1.0
    assert np.interp(3.2, slow.x, slow.y) == pytest.approx(1.0)


def test_a_bound_above_another_runs_partition_is_a_contradiction(store_of: StoreOf) -> None:
    liar, honest, old = made_up_run("g", 4, "liar"), made_up_run("g", 4, "honest"), made_up_run("h", 4, "old")
    cases = [
        (liar, made_up_result(liar, simple=50, trajectory=history(50, dual=105, incumbent=120), seconds=1.0)),
        (honest, made_up_result(honest, simple=50, trajectory=history(50, dual=60, incumbent=100), seconds=1.0)),
        (old, made_up_result(old, simple=50, trajectory=history(50, dual=60, incumbent=100), seconds=1.0)),
    ]
    found = make_report(store_of(cases)).contradictions
    assert [(case.entry, case.bound, case.incumbent, case.noticed) for case in found] == [("liar", 105, 100, False)]
    assert found[0].witness == "honest (annealing)"
    assert found[0].excess == pytest.approx(0.05)


def test_runs_outside_the_plan_still_bear_witness(store_of: StoreOf) -> None:
    liar, honest = made_up_run("g", 4, "liar"), made_up_run("g", 4, "honest")
    cases = [
        (liar, made_up_result(liar, simple=50, trajectory=history(50, dual=105, incumbent=120), seconds=1.0)),
        (honest, made_up_result(honest, simple=50, trajectory=history(50, dual=60, incumbent=100), seconds=1.0)),
    ]
    report = make_report(store_of(cases, planned=[liar]))
    assert len(report.contradictions) == 1
    assert [row.label for row in report.stages[0].summaries] == ["liar"]


def test_what_a_run_noticed_itself_is_listed(store_of: StoreOf) -> None:
    run = made_up_run("g", 4, "a")
    claim = {"source": "m", "dual_bound_ticks": 900, "incumbent_ticks": 100, "incumbent_source": "annealing"}
    steps = history(50, dual=60, incumbent=100)
    result = made_up_result(run, simple=50, trajectory=steps, seconds=1.0, contradictions=[claim])
    (case,) = make_report(store_of([(run, result)])).contradictions
    assert (case.noticed, case.bound, case.incumbent) == (True, 900, 100)


def test_failed_and_missing_runs_are_counted_and_left_out_of_means(store_of: StoreOf) -> None:
    good, bad, missing = (made_up_run(name, 4, "a") for name in ("g", "h", "i"))
    steps = history(50, dual=100, incumbent=100)
    cases = [
        (good, made_up_result(good, simple=50, trajectory=steps, seconds=1.0, faults=[("m", "crashed")])),
        (bad, Finished(key=bad.key, error="the worker died", lost=True)),
        (missing, None),
    ]
    report = make_report(store_of(cases))
    row = report.stages[0].summaries[0]
    assert (row.runs, row.failed, row.ratio, row.proven, row.closing) == (1, 1, 1.0, 1.0, math.inf)
    assert sorted((fault.graph, fault.detail) for fault in report.faults) == [
        ("g", "crashed"),
        ("h", "the worker died"),
    ]
    assert sum(report.data.plan_counts.values()) == 3


def test_an_empty_study_has_an_empty_report(store_of: StoreOf) -> None:
    report = make_report(store_of([(made_up_run("g", 4, "a"), None)]))
    assert report.stages == []
    assert report.contradictions == []
    assert report.curves == []


@pytest.mark.parametrize(
    ("simple", "ratio", "factor"), [(0.4598, 0.9452, 9.858), (0.5, 0.5, 1.0), (0.5, 1.0, math.inf), (1.0, 1.0, 1.0)]
)
def test_closing_factor(simple: float, ratio: float, factor: float) -> None:
    assert closing_factor(simple, ratio) == pytest.approx(factor, rel=1e-3)


def test_a_missing_store_and_a_foreign_file_are_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such store"):
        make_report(tmp_path / "absent.sqlite")
    (tmp_path / "text.sqlite").write_text("text" * 500)
    with pytest.raises(UserError, match="not a study's store"):
        make_report(tmp_path / "text.sqlite")


def test_a_report_on_one_collection_counts_its_runs_only(store_of: StoreOf) -> None:
    cases: list[tuple[PlannedRun, Finished | None]] = []
    for graph, collection, dual in (("g", "core", 90), ("h", "regal-like", 50), ("i", "regal-like", 50)):
        run = made_up_run(graph, 4, "a", collection=collection)
        cases.append(
            (run, made_up_result(run, simple=25, trajectory=history(25, dual=dual, incumbent=100), seconds=1.0))
        )
    cases.append((made_up_run("j", 4, "a", collection="core"), None))
    path = store_of(cases)
    whole, core = make_report(path), make_report(path, "core")
    assert [group.title for group in whole.stages] == ["core, k = 4", "regal-like, k = 4"]
    (row,) = (row for group in core.stages for row in group.summaries)
    assert row.ratio == pytest.approx(0.9)
    assert (row.runs, row.failed) == (1, 0)
    assert core.data.plan_counts == {"a": 2}
    assert whole.data.plan_counts == {"a": 4}
    with pytest.raises(UserError, match="no graphs of 'full'"):
        make_report(path, "full")

"""Costs fitted to what stages took: what is known is met, what is not known keeps the profile."""

from __future__ import annotations

import numpy as np
import pytest

from framework.deploy.tuning.correction import RESOLUTION, Observation, Timing, fit
from framework.model.graph import FloatArray


def timing(busy: list[float], *, spread: float = 0.0, period: float | None = None) -> Timing:
    rows = np.outer([1 - spread, 1.0, 1.0, 1 + spread], busy)
    return Timing(periods=np.full(4, period or np.nanmax(busy)), busy=rows)


def observation(cut: int, n: int, busy: list[float], *, link: float = 0.0, turn: int = 0, **more: float) -> Observation:
    stage_of = (np.arange(n) >= cut).astype(np.int64)
    return Observation(stage_of=stage_of, link=np.full(2, link), timing=timing(busy, **more), turn=turn)


def sums(cut: int, work: FloatArray) -> list[float]:
    return [float(work[:cut].sum()), float(work[cut:].sum())]


def test_nothing_measured_corrects_nothing() -> None:
    correction = fit(np.ones(3), [])
    assert correction.node.tolist() == [1, 1, 1]
    assert correction.link == 1.0


def test_a_common_factor_is_taken_over() -> None:
    work = np.array([1.0, 2.0, 3.0, 4.0])
    seen = [observation(cut, 4, [1.4 * s for s in sums(cut, work)]) for cut in (2, 3)]
    correction = fit(work, seen)
    assert correction.node == pytest.approx([1.4] * 4, rel=0.01)
    assert correction.link == 1.0


def test_splits_tell_nodes_apart() -> None:
    rng = np.random.default_rng(3)
    work = rng.uniform(1, 2, 12)
    truth = work * rng.uniform(0.7, 1.4, 12)
    cuts = (4, 6, 7, 9)
    correction = fit(work, [observation(cut, 12, sums(cut, truth)) for cut in cuts])
    fitted = work * correction.node
    for cut in cuts:
        assert sums(cut, fitted) == pytest.approx(sums(cut, truth), rel=0.02)
    # No split told the nodes of a cell apart.
    assert np.ptp(correction.node[:4]) == pytest.approx(0, abs=1e-12)
    assert fitted[6] == pytest.approx(truth[6], rel=0.15)


def test_contradictions_are_averaged() -> None:
    work = np.ones(4)
    correction = fit(work, [observation(2, 4, [2.0, 2.0]), observation(2, 4, [2.2, 2.0])])
    assert 2.0 < sums(2, correction.node)[0] < 2.2


def test_what_is_known_better_counts_for_more() -> None:
    work = np.ones(4)
    sure, vague = observation(2, 4, [2.0, 2.0]), observation(2, 4, [2.2, 2.2], spread=0.1)
    assert sums(2, fit(work, [sure, vague]).node)[0] < 2.05
    # Its neighbour idled: it says little of a stage beside a busy one.
    lone = observation(2, 4, [2.2, 0.1])
    assert lone.timing.uncertainty()[0] > 5 * RESOLUTION
    assert lone.timing.uncertainty()[1] == pytest.approx(RESOLUTION)


def test_transfers_are_corrected_where_cuts_differ() -> None:
    work = np.ones(8)
    seen = [
        observation(cut, 8, [s + 3 * link for s in sums(cut, work)], link=link, turn=0)
        for cut, link in ((4, 0.6), (3, 0.0), (5, 0.0), (4, 0.0))
    ]
    correction = fit(work, seen)
    assert correction.link == pytest.approx(3, rel=0.1)
    assert correction.node == pytest.approx(np.ones(8), rel=0.05)
    small = fit(work, [observation(4, 8, [4.4, 4.4], link=1e-4)])
    assert small.link == pytest.approx(1, rel=0.05)


def test_a_slower_turn_is_a_mood() -> None:
    work = np.ones(8)
    seen = [observation(4, 8, [4.0, 4.0]), observation(5, 8, [5.0, 3.0])]
    seen += [observation(4, 8, [4.4, 4.4], turn=1), observation(3, 8, [3.3, 5.5], turn=1)]
    assert fit(work, seen).node == pytest.approx(np.ones(8), rel=0.02)


def test_nodes_without_work_and_empty_stages() -> None:
    work = np.array([0.0, 1.0, 1.0, 0.0])
    stage_of = np.array([0, 0, 2, 2])
    busy = [1.2, np.nan, 0.9]
    correction = fit(work, [Observation(stage_of=stage_of, link=np.zeros(3), timing=timing(busy), turn=0)])
    assert np.isfinite(correction.node).all()
    assert correction.node[1] > correction.node[2]
    costless = Observation(stage_of=np.array([0, 1, 1, 2]), link=np.zeros(3), timing=timing([0.1, 2, 0.1]), turn=0)
    assert np.isfinite(fit(work, [costless]).node).all()
    assert fit(np.zeros(4), [costless]).node.tolist() == [1] * 4


def test_dividing_a_node_changes_nothing() -> None:
    """The penalty is white noise over time, not over nodes."""
    coarse = fit(np.array([2.0, 1.0, 3.0]), [observation(1, 3, [2.4, 3.8]), observation(2, 3, [3.3, 2.9])])
    fine = fit(np.array([1.0, 1.0, 1.0, 3.0]), [observation(2, 4, [2.4, 3.8]), observation(3, 4, [3.3, 2.9])])
    assert fine.node[1:] == pytest.approx(coarse.node, rel=1e-9)

"""The loop of `refine` on paper: it finds the optimum, and never gives back what measured worse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from framework.deploy.tuning.correction import Timing
from framework.deploy.tuning.search import EXPLORING, GIVEN, Candidate, Outcome, decide, faster_by_sign_test, search
from framework.deploy.tuning.solved import Solved
from framework.layouts.naive import naive_partitions
from framework.portfolio.constraints import Constraints
from tests.deploy.chains import PaperBench, all_splits, best_split, chain


def wrong_profile(seed: int, k: int, n: int = 24, *, error: float = 0.3) -> tuple[Solved, Solved]:
    """Return a profile and the truth behind it: errors of nodes, and one that drifts along the chain."""
    rng = np.random.default_rng(seed)
    work = rng.uniform(1e-3, 3e-3, n)
    drift = np.linspace(-error, error, n) * rng.choice([-1, 1])
    truth = work * np.exp(drift + 0.1 * rng.standard_normal(n))
    return chain(work, k, cut_bytes=2e4), chain(truth, k, cut_bytes=5e4)


def run(profile: Solved, bench: PaperBench, *, rounds: int = 12, race_rounds: int = 16) -> Outcome:
    naive = naive_partitions(profile.graph, profile.stages)
    return search(profile, best_split(profile), naive, bench, best_split, rounds=rounds, race_rounds=race_rounds)


@pytest.mark.parametrize("seed", range(8))
def test_two_stages_of_a_chain_end_at_the_true_optimum(seed: int) -> None:
    profile, truth = wrong_profile(seed, 2)
    outcome = run(profile, PaperBench(truth))
    assert outcome.winner is not None
    assert outcome.converged
    assert truth.bottleneck(outcome.winner.stage_of) == pytest.approx(truth.bottleneck(best_split(truth)), rel=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_that_measured_worse_wins(seed: int) -> None:
    profile, truth = wrong_profile(seed, 3, 16)
    outcome = run(profile, PaperBench(truth), rounds=4)
    assert outcome.winner is not None
    periods = [c.timing.period for c in outcome.candidates if c.timing is not None]
    assert len(periods) == len(outcome.candidates)
    assert outcome.winner.timing is not None
    assert outcome.winner.timing.period == min(periods)
    given = next(c for c in outcome.candidates if c.name == GIVEN)
    assert outcome.winner is not given
    assert truth.bottleneck(outcome.winner.stage_of) < truth.bottleneck(given.stage_of)


@pytest.mark.parametrize("seed", range(6))
def test_noise_does_not_lose_against_the_naive_splits(seed: int) -> None:
    profile, truth = wrong_profile(seed, 2)
    outcome = run(profile, PaperBench(truth, noise=0.03, seed=seed), rounds=4)
    assert outcome.winner is not None
    best = min(truth.bottleneck(split) for split in naive_partitions(profile.graph, 2).values())
    assert truth.bottleneck(outcome.winner.stage_of) <= 1.01 * best


def test_corrected_costs_predict_what_was_measured() -> None:
    profile, truth = wrong_profile(1, 2)
    outcome = run(profile, PaperBench(truth))
    for candidate in outcome.candidates:
        assert candidate.timing is not None
        # A split that left a stage idle counts for less.
        close = 0.03 if candidate.relative < 1.2 else 0.15
        assert candidate.corrected == pytest.approx(candidate.timing.period, rel=close)
    given = outcome.candidates[0]
    assert given.timing is not None
    assert abs(given.corrected - given.timing.period) < abs(given.predicted - given.timing.period)


def test_equal_partitions_are_measured_once() -> None:
    even = chain(np.full(8, 1e-3), 2)
    bench = PaperBench(even)
    outcome = run(even, bench, rounds=1)
    assert bench.measured[0] == [GIVEN]
    assert outcome.candidates[0].aliases == ["equal operator count", "equal parameters", "equal FLOPs"]
    assert outcome.winner is outcome.candidates[0]
    assert outcome.best_naive is outcome.winner


def test_a_naive_split_that_breaks_a_constraint_is_measured_and_cannot_win() -> None:
    truth = chain(np.full(8, 1e-3), 2)
    profile = chain(np.full(8, 1e-3), 2, constraints=Constraints(pins=(("v2", 1),)))
    outcome = run(profile, PaperBench(truth))
    assert outcome.winner is not None
    assert outcome.winner.stage_of.tolist() == [0, 0] + [1] * 6
    assert outcome.best_naive is not None
    assert not outcome.best_naive.allowed
    assert outcome.best_naive.relative < outcome.winner.relative


def test_undoing_a_fusion_is_allowed_and_a_wish_is_not() -> None:
    half = np.repeat([0, 1], 4)
    fused = (("v3", "v4"),)
    problem = replace(chain(np.full(8, 1e-3), 2, constraints=Constraints(same_stage=fused)), fused=fused)
    assert problem.allows(half)
    assert not replace(problem, fused=()).allows(half)


def test_what_cannot_be_run_is_left_out() -> None:
    profile, truth = wrong_profile(2, 2)
    bench = PaperBench(truth)
    bench.broken = {"equal FLOPs": "no tensor of plain numbers", "equal operator count": "too large", "round 1": "boom"}
    outcome = run(profile, bench, rounds=3)
    assert outcome.winner is not None
    assert {c.name for c in outcome.candidates if c.failure} <= set(bench.broken)
    assert any(c.failure == "boom" for c in outcome.candidates)
    assert not outcome.winner.failure
    bench = PaperBench(truth)
    bench.broken = dict.fromkeys((GIVEN, "equal FLOPs", "equal operator count", "equal parameters"), "no")
    nothing = run(profile, bench)
    assert nothing.winner is None
    assert nothing.solves == 0


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_an_interrupted_search_keeps_the_best_so_far(turns: int) -> None:
    profile, truth = wrong_profile(0, 2)
    bench = PaperBench(truth, patience=turns)
    outcome = run(profile, bench)
    assert len(bench.measured) == turns
    assert not outcome.raced
    if turns == 0:
        assert outcome.winner is None
        return
    assert outcome.winner is not None
    assert outcome.winner.relative == min(c.relative for c in outcome.candidates)
    assert "best so far" in outcome.why


def test_every_turn_has_the_best_so_far_beside_the_new_split() -> None:
    profile, truth = wrong_profile(0, 2)
    bench = PaperBench(truth)
    outcome = run(profile, bench)
    first, *middle, last = bench.measured
    assert first[0] == GIVEN
    assert all(len(turn) == 2 and turn[1].startswith("round ") for turn in middle)
    assert set(last) == {c.name for c in outcome.candidates if c.finalist}
    assert all(c.timing is not None and len(c.timing.periods) == (16 if c.finalist else EXPLORING)
               for c in outcome.candidates)  # fmt: skip


def test_a_race_that_can_prove_nothing_is_refused() -> None:
    profile, truth = wrong_profile(0, 2)
    with pytest.raises(ValueError, match="can prove nothing"):
        run(profile, PaperBench(truth), race_rounds=4)


def racer(name: str, periods: list[float], *, naive: bool = False) -> Candidate:
    timing = Timing(periods=np.array(periods), busy=np.ones((len(periods), 2)))
    stage_of = all_splits(3, 2)[0]
    return Candidate(name=name, stage_of=stage_of, naive=naive, allowed=True, predicted=1.0, timing=timing)


def test_a_naive_split_loses_only_to_what_is_proven_faster() -> None:
    naive = racer("equal FLOPs", [1.0] * 16, naive=True)
    faster = racer("round 1", [0.99] * 13 + [1.01] * 3)
    winner, why = decide([naive, faster])
    assert winner is faster
    assert why == "faster than equal FLOPs in 13 of 16 rounds"
    lucky = racer("round 2", [0.97] * 10 + [1.01] * 6)
    winner, why = decide([naive, lucky])
    assert winner is naive
    assert "10 of 16" in why
    assert "ties go to the naive split" in why
    assert decide([faster, lucky])[0] is lucky
    assert decide([naive, racer("round 3", [1.2] * 16)])[0] is naive


def test_the_sign_test_is_exact() -> None:
    one, none = np.zeros(1), np.ones(1)
    assert not faster_by_sign_test(np.repeat(one, 4), np.repeat(none, 4))
    assert faster_by_sign_test(np.repeat(one, 5), np.repeat(none, 5))
    # 12 of 16 by chance: 3.8%; 11 of 16: 10.5%.
    assert faster_by_sign_test(np.repeat([0.0, 2.0], [12, 4]), np.ones(16))
    assert not faster_by_sign_test(np.repeat([0.0, 2.0], [11, 5]), np.ones(16))
    assert not faster_by_sign_test(np.ones(16), np.ones(16))

"""Step rules by themselves: which thresholds they choose after which answers, and when they end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from framework.bounds import Limit, Reason, Soundness, Termination
from framework.contracts import Decision, Refuted, Undecided
from framework.portfolio.context.step_rules import (
    Band,
    BandSteps,
    EffortSteps,
    GallopSteps,
    SectionSteps,
    ShrinkingSteps,
    Span,
    StepRule,
    StepsFromAbove,
    highest_worth_deciding,
)

LOWER, VALUE = 50, 100
REFUTED, HOPELESS = Refuted(soundness=Soundness.EXACT), Undecided(reason="hopeless", above=True)
OPEN = Undecided(reason="too weak")


def span(lower: int = LOWER, ceiling: int = VALUE, value: int = VALUE) -> Span:
    return Span(lower=lower, ceiling=ceiling, value=value)


def play(rule: StepRule, optimum: int, failure: Decision = OPEN, *, left: Span | None = None) -> list[int]:
    """Drive a rule as `DestructiveBound` does, by a method that refutes all below an optimum; return what is tried."""
    left = left or span()
    tried: list[int] = []
    for _ in range(200):
        if left.lower >= left.ceiling:
            return tried
        threshold = rule.next(left)
        if isinstance(threshold, Termination):
            return tried
        assert left.lower <= threshold < left.ceiling
        tried.append(threshold)
        answer = REFUTED if threshold < optimum else failure
        if threshold < optimum:
            left = replace(left, lower=threshold + 1)
        elif failure is HOPELESS:
            left = replace(left, ceiling=threshold)
        rule.note(threshold, answer, left)
    raise AssertionError("it does not end")


def efforts(**changes: Any) -> EffortSteps:
    return replace(EffortSteps(effort=1, most=64, step=0.5, smallest=1 / 8, restart=1 / 4), **changes)


def test_steps_shrink_before_effort_grows() -> None:
    rule, seen = efforts(), []
    while isinstance(rule.next(span()), int):
        rule.note(LOWER + 1, OPEN, span())
        seen.append((rule.step, rule.effort))
    assert seen[:3] == [(1 / 4, 1), (1 / 8, 1), (1 / 16, 1)]
    assert seen[3:6] == [(1 / 4, 4), (1 / 8, 4), (1 / 16, 4)]
    assert seen[-1] == (1 / 16, 64)


def test_a_failure_at_the_dual_bound_needs_more_effort_and_then_ends() -> None:
    rule = efforts(effort=0, least=32)
    rule.note(LOWER, OPEN, span())
    assert (rule.effort, rule.step) == (32, 1 / 4)
    rule.note(LOWER, HOPELESS, span())
    rule.note(LOWER, REFUTED, span())
    assert (rule.effort, rule.step) == (32, 1 / 4)
    rule.note(LOWER, OPEN, span())
    assert rule.effort == 64
    rule.note(LOWER, OPEN, span())
    assert rule.next(span()) == Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS, detail="too weak")


def test_thresholds_of_efforts_lie_within_the_interval() -> None:
    assert efforts().next(span(50, 100)) == 75
    assert efforts(step=1.0).next(span(50, 100)) == 99
    assert efforts().next(span(50, 51)) == 50


def test_shrinking_steps_are_quartered_until_patience_ends() -> None:
    assert play(ShrinkingSteps(resolution=0.0, patience=2), 60) == [74, 56, 62, 58, 60, 59, 60, 60]
    assert play(ShrinkingSteps(resolution=0.0, patience=1), 60) == [74]
    assert play(ShrinkingSteps(resolution=0.0, patience=3), LOWER) == [74, 56, 51]
    assert play(ShrinkingSteps(resolution=0.5, patience=2), 60) == []
    assert play(ShrinkingSteps(resolution=0.0, patience=2), VALUE)[-1] == VALUE - 1


def test_sections_begin_at_the_top_if_wanted_and_end_at_a_width() -> None:
    assert play(SectionSteps(part=3, from_top=True), 60, HOPELESS)[:3] == [99, 66, 55]
    assert play(SectionSteps(part=3, from_top=True), VALUE, HOPELESS) == [99]
    assert play(SectionSteps(part=2), 60, HOPELESS)[:2] == [75, 62]
    assert play(SectionSteps(part=2, least=12), 60, HOPELESS) == [75, 62]
    assert play(SectionSteps(part=2, resolution=0.2), 60, HOPELESS) == [75, 62]
    assert len(play(SectionSteps(part=2, most=1), 60, HOPELESS)) == 1


@pytest.mark.parametrize("optimum", range(LOWER, VALUE + 1))
def test_sections_without_a_width_end_at_the_optimum(optimum: int) -> None:
    tried = play(SectionSteps(part=3, from_top=True), optimum, HOPELESS)
    assert max((t + 1 for t in tried if t < optimum), default=LOWER) == optimum


def gallop(**changes: Any) -> GallopSteps:
    rule = GallopSteps(first_step=1 / 256, leap=5e-5, leap_within=0.02, tolerance=0.0, fineness=0.25)
    return replace(rule, **changes)


def test_a_gallop_doubles_its_steps_and_goes_back_in_quarters() -> None:
    wide = span(10_000, 20_000, 20_000)
    assert play(gallop(), 10_500, HOPELESS, left=wide)[:6] == [10_000, 10_040, 10_119, 10_276, 10_589, 10_355]
    assert play(gallop(), 10_500, HOPELESS, left=wide)[-1] in (10_499, 10_500)
    # What is just below a failure is not tried before the middle is.
    assert len(play(gallop(), 10_500, HOPELESS, left=wide)) <= 20
    # What took too long is not tried again either.
    assert play(gallop(), 10_500, OPEN, left=wide) == play(gallop(), 10_500, HOPELESS, left=wide)


def test_a_gallop_ends_where_the_dual_bound_is_not_refuted_or_nothing_is_gained() -> None:
    wide = span(10_000, 20_000, 20_000)
    assert play(gallop(), 10_000, HOPELESS, left=wide) == [10_000]
    assert play(gallop(impatient=lambda: True), 10_001, HOPELESS, left=wide) == [10_000, 10_040]
    assert len(play(gallop(), 10_001, HOPELESS, left=wide)) > 2
    assert len(play(gallop(tolerance=0.01), 10_500, HOPELESS, left=wide)) < len(
        play(gallop(), 10_500, HOPELESS, left=wide)
    )


def test_a_gallop_leaps_once_to_the_incumbent_when_that_is_near() -> None:
    near = span(99_000, 100_000, 100_000)
    assert play(gallop(), 99_995, HOPELESS, left=near)[:3] == [99_000, 99_995, 99_387]
    assert play(gallop(), 100_000, HOPELESS, left=near)[:2] == [99_000, 99_995]
    # A leap that took too long says nothing of the thresholds below the incumbent.
    assert play(gallop(), 99_500, OPEN, left=near)[1:3] == [99_995, 99_387]
    far = span(50_000, 100_000, 100_000)
    assert 99_995 not in play(gallop(), 60_000, HOPELESS, left=far)


def bands(band: Band | None = None, **changes: Any) -> BandSteps:
    rule = BandSteps(band=band or Band(), at_top=True, smallest=1e-3, tries_above=2)
    return replace(rule, **changes)


def test_the_highest_threshold_comes_first_and_then_the_middle() -> None:
    wide = span(5_000, 10_000, 10_000)
    rule = bands()
    assert rule.next(wide) == highest_worth_deciding(wide) == 9_999
    assert rule.next(wide) == 5_000 + 4_999 // 2
    assert bands(at_top=False).next(wide) == 5_000 + 4_999 // 2
    assert highest_worth_deciding(span(500_000, 1_000_000, 1_000_000)) == 999_910
    assert highest_worth_deciding(span(999_950, 1_000_000, 1_000_000)) == 999_999


def test_a_band_is_narrowed_from_below_and_then_from_above() -> None:
    band, left = Band([70]), span(0, 1_000, 1_000)
    rule = bands(band, at_top=False, smallest=0.2)
    below = []
    while (threshold := rule.next(left)) < 70:  # type: ignore[operator]
        assert isinstance(threshold, int)
        below.append(threshold)
        band.undecided.append(threshold)
        rule.note(threshold, OPEN, left)
    assert below == [35, 4]
    above = []
    while isinstance(threshold := rule.next(left), int):
        above.append(threshold)
        band.undecided.append(threshold)
        rule.note(threshold, OPEN, left)
    assert above == [71 + (999 - 71) // 2, 536 + (999 - 536) // 2]
    assert (band.lowest, band.highest) == (4, 767)


def test_a_band_forgets_what_is_decided_and_steps_grow_again() -> None:
    band = Band([60, 90])
    rule = bands(band, at_top=False)
    rule.note(60, OPEN, span())
    assert rule.next(span(0, 100, 100)) == int(60 / 4 / 2)
    rule.note(7, REFUTED, span(8, 100, 100))
    assert rule.next(span(8, 100, 100)) == 8 + int((60 - 8) / 2 / 2)
    rule.next(span(61, 100, 100))
    assert band.undecided == [90]
    rule.next(span(61, 80, 80))
    assert not band


def from_above(**changes: Any) -> StepsFromAbove:
    rule = StepsFromAbove(first=0.8, descent=0.1, step=0.04, smallest=0.01, resolution=0.0, effort=1, most=4)
    return replace(rule, **changes)


def test_from_above_it_descends_until_refuted_and_then_climbs() -> None:
    assert play(from_above(), 75) == [80, 70, 75, 73, 76, 75, 74, 75]
    assert play(from_above(), 75, HOPELESS) == [80, 70, 75, 73, 74]
    # Nothing above the dual bound is refuted: more effort there, up to the most.
    assert play(from_above(), LOWER) == [80, 70, 60, 54, 52, 51, 50]


def test_from_above_it_ends_at_its_resolution_only_where_the_method_reaches_no_further() -> None:
    rule = from_above(resolution=0.06)
    assert rule.next(span(lower=95, ceiling=100)) == 99
    assert rule.next(span(lower=85, ceiling=90)) == Termination(reason=Reason.FINISHED)
    assert play(from_above(step=1.0), VALUE) == [80, 99]


def test_from_above_effort_grows_and_the_step_shrinks_after_a_failure_on_the_way_up() -> None:
    rule = from_above()
    rule.note(80, OPEN, span())
    assert (rule.step, rule.effort, rule.climbs) == (0.04, 1, False)
    rule.note(70, REFUTED, span(lower=71))
    rule.note(75, OPEN, span(lower=71))
    assert (rule.step, rule.effort, rule.climbs) == (0.02, 2, True)
    rule.note(73, HOPELESS, span(lower=71, ceiling=73))
    assert (rule.step, rule.effort) == (0.01, 2)

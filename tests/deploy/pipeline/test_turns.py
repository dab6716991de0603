"""Turns of measurements end in time, and batches are no larger than the slowest of all can take."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import pytest

from framework.deploy.pipeline import turns
from framework.deploy.pipeline.pipeline import Batch
from framework.deploy.pipeline.turns import BATCH_SECONDS, WARM_UP, batch_items, take_turns


@dataclass
class PaperRunner:
    """Takes as long for an item as it is told, on paper."""

    period: float
    sizes: list[int] = field(default_factory=list)

    def run(self, items: int) -> Batch:
        self.sizes.append(items)
        return Batch(period=self.period, busy=(self.period,), results={})


def told(text: str) -> None:
    del text


def test_batches_shrink_to_what_the_slowest_can_take() -> None:
    fast, slow = PaperRunner(1e-5), PaperRunner(BATCH_SECONDS / 100)
    batches = take_turns({"fast": fast, "slow": slow}, 50_000, 3, told, fewest=8)
    assert fast.sizes == slow.sizes == [50_000 // WARM_UP, 100, 100, 100]
    assert [len(batch) for batch in batches.values()] == [3, 3]
    snail = PaperRunner(10.0)
    take_turns({"snail": snail}, 100, 1, told, fewest=8)
    assert snail.sizes == [12, 8]
    fixed = PaperRunner(10.0)
    take_turns({"fixed": fixed}, 100, 1, told)
    assert fixed.sizes == [100, 100]


@dataclass
class Clock:
    """Stands still, but for what is run on paper."""

    now: float = 0.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class TimedRunner(PaperRunner):
    """Lets a clock run on."""

    clock: Clock = field(default_factory=Clock)

    def run(self, items: int) -> Batch:
        self.clock.now += items * self.period
        return PaperRunner.run(self, items)


def test_no_round_begins_after_the_end_and_the_one_that_warms_up_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(turns, "time", clock)
    slow = {"a": TimedRunner(1.0, clock=clock), "b": TimedRunner(1.0, clock=clock)}
    # Warming up takes 20 s; a round of 20 s more is begun, and given up in the middle.
    batches = take_turns(slow, 10, 4, told, until=25.0)
    assert [runner.sizes for runner in slow.values()] == [[10], [10, 10]]
    assert [len(batch) for batch in batches.values()] == [1, 1]
    clock.now = 0.0
    batches = take_turns(slow, 10, 4, told, until=65.0)
    assert [len(batch) for batch in batches.values()] == [2, 2]
    assert clock.now == 70.0


def test_a_slow_runner_runs_once_to_tell_how_large_a_batch_is() -> None:
    slow, fast = PaperRunner(BATCH_SECONDS), PaperRunner(BATCH_SECONDS / 100)
    assert batch_items(slow, 8) == 8
    assert slow.sizes == [1]
    assert batch_items(fast, 8) == 100
    assert fast.sizes == [1, 3]


@pytest.mark.parametrize(("until", "rounds"), [(-math.inf, 1), (math.inf, 4)])
def test_out_of_time_there_is_one_round(until: float, rounds: int) -> None:
    runners = {"a": PaperRunner(0.1), "b": PaperRunner(0.2)}
    batches = take_turns(runners, 10, 4, told, until=until)
    assert [len(batch) for batch in batches.values()] == [rounds, rounds]


def test_an_interrupted_round_is_left_out() -> None:
    first, second = PaperRunner(0.1), PaperRunner(0.1)
    batches = take_turns(
        {"a": first, "b": second}, 10, 4, told, stopped=lambda: len(first.sizes) + len(second.sizes) >= 5
    )
    assert [len(batch) for batch in batches.values()] == [1, 1]

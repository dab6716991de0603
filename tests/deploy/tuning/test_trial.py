"""A trial keeps to its budget: no split is started that would begin too late."""

from __future__ import annotations

import pytest

from framework.deploy.tuning import trial
from framework.deploy.tuning.trial import Starts


class Clock:
    """Stands still until it is told."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_a_split_is_started_only_if_one_as_slow_as_the_slowest_is_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(trial, "time", clock)
    starts, seen = Starts(until=108.0), []
    for seconds in (2.0, 1.0, 3.0, 1.0):
        seen.append(starts.room)
        if starts.room:
            with starts.measured():
                clock.now += seconds
    # After 6 of 8 seconds one that takes 3 would be late, though there is time left.
    assert seen == [True, True, True, False]
    assert starts.longest == 3.0
    assert clock.now == 106.0

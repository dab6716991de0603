"""Measuring in turns: several ways to run a model, round by round, each round starting with another.

What is compared stays alive meanwhile (waiting, it costs nothing), so that a change of the machine's load affects all
alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import numpy as np

from framework.deploy.model import ModelFile
from framework.deploy.pipeline import Batch
from framework.deploy.runnable import runnable
from framework.deploy.runtime import Feed, Optimization, open_session, run_session

BATCH_SECONDS = 0.5
FEWEST = 6
"""Items beyond the number of stages that a batch has at least, so that a full pipeline is seen for a while."""


class Runner(Protocol):
    """What can take a turn."""

    def run(self, items: int) -> Batch:
        """Run this many items."""


class Unsplit:
    """The unsplit model in this process, on one thread."""

    def __init__(self, model: ModelFile, feed: Feed, optimization: Optimization) -> None:
        self._path, self._feed = model.path, feed
        self._session = open_session(runnable(model), optimization=optimization)
        names = [entry.name for entry in self._session.get_outputs()]
        self.expected = list(zip(names, run_session(self._session, feed, str(model.path)), strict=True))

    @property
    def finite(self) -> bool:
        """Whether all results are finite numbers."""
        return all(np.isfinite(array).all() for _, array in self.expected if array.dtype.kind in "fV")

    def batch_items(self, stages: int) -> int:
        """Return how many items take `BATCH_SECONDS`, or as many as a pipeline of so many stages needs."""
        return max(math.ceil(BATCH_SECONDS / min(self.run(3).busy)), stages + FEWEST)

    def run(self, items: int) -> Batch:
        """Run this many items, one after the other."""
        times = []
        for _ in range(items):
            started = time.perf_counter()
            run_session(self._session, self._feed, str(self._path))
            times.append(time.perf_counter() - started)
        return Batch(period=float(np.mean(times)), busy=(float(np.median(times)),), results=dict(self.expected))


def fitting_items(items: int, stages: int, runners: Iterable[Runner]) -> int:
    """Return how many items a batch may have so that it takes none of the runners much longer than `BATCH_SECONDS`.

    Handing an item over takes a pipeline longer than a tiny model takes to compute it, and many times longer where the
    stages share cores with other programs.
    """
    few = stages + FEWEST
    if items <= few:
        return items
    slowest = max((runner.run(few).period for runner in runners), default=0.0)
    return items if slowest <= 0 else max(few, min(items, math.ceil(BATCH_SECONDS / slowest)))


def take_turns(
    runners: Mapping[str, Runner],
    items: int,
    rounds: int,
    say: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
    until: float = math.inf,
) -> dict[str, list[Batch]]:
    """Run `rounds` batches of everything in turn, after one that warms up.

    Parameters
    ----------
    stopped
        Asked before every batch whether to end; a round that is not complete is then left out.
    until
        When to end, on the clock of `time.monotonic`, with one round at least.
    """
    batches: dict[str, list[Batch]] = {name: [] for name in runners}
    for round_number in range(rounds + 1):
        if round_number > 1 and time.monotonic() > until:
            break
        say(f"round {round_number} of {rounds}")
        first = round_number % len(runners)
        taken = {}
        for name, runner in [*runners.items()][first:] + [*runners.items()][:first]:
            if stopped() or (round_number > 1 and time.monotonic() > until):
                return batches
            taken[name] = runner.run(items)
        if round_number:
            for name, batch in taken.items():
                batches[name].append(batch)
    return batches

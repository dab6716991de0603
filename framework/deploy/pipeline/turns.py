"""Measuring in turns: several ways to run a model, round by round, each round starting with another.

What is compared stays alive meanwhile (waiting, it costs nothing), so that a change of the machine's load affects all
alike.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np

from framework.deploy.onnx_model import ModelFile
from framework.deploy.pipeline.pipeline import Batch
from framework.deploy.runnable import runnable
from framework.deploy.runtime import Feed, Optimization, open_session, run_session

BATCH_SECONDS = 0.5
WARM_UP = 8
"""The first round, which is not counted, has this part of the items."""

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
        return batch_items(self, stages + FEWEST)

    def run(self, items: int) -> Batch:
        """Run this many items, one after the other."""
        times = []
        for _ in range(items):
            started = time.perf_counter()
            run_session(self._session, self._feed, str(self._path))
            times.append(time.perf_counter() - started)
        return Batch(period=float(np.mean(times)), busy=(float(np.median(times)),), results=dict(self.expected))


def batch_items(runner: Runner, fewest: int) -> int:
    """Return how many items a runner takes `BATCH_SECONDS` for, `fewest` at least; a slow one runs once to tell."""
    seconds = min(runner.run(1).busy)
    if seconds * fewest < BATCH_SECONDS:
        # The first item may have been slow, and the batch has room for more.
        seconds = min(runner.run(3).busy)
    return max(math.ceil(BATCH_SECONDS / seconds), fewest)


def take_turns(
    runners: Mapping[str, Runner],
    items: int,
    rounds: int,
    say: Callable[[str], None],
    stopped: Callable[[], bool] = lambda: False,
    until: float = math.inf,
    fewest: int | None = None,
) -> dict[str, list[Batch]]:
    """Run `rounds` batches of everything in turn, after one that warms up.

    Parameters
    ----------
    stopped
        Asked before every batch whether to end; a round that is not complete is then left out.
    until
        When to end, on the clock of `time.monotonic`, with one round at least: the one that warms up, if no time is
        left for another.
    fewest
        How few items a batch may have where the slowest of all takes longer than `BATCH_SECONDS` for `items`; None to
        run so many whatever they take. Handing an item over takes a pipeline longer than a tiny model takes to
        compute it, and many times longer where the stages share cores with other programs.
    """
    batches: dict[str, list[Batch]] = {name: [] for name in runners}
    order = list(runners)
    size = items if fewest is None else max(fewest, items // WARM_UP)
    warm: dict[str, Batch] = {}
    for round_number in range(rounds + 1):
        say(f"round {round_number} of {rounds}")
        first = round_number % len(order)
        taken = {}
        for name in order[first:] + order[:first]:
            if stopped():
                return batches
            if round_number and time.monotonic() > until:
                return batches if round_number > 1 else {name: [batch] for name, batch in warm.items()}
            taken[name] = runners[name].run(size)
        if round_number:
            for name, batch in taken.items():
                batches[name].append(batch)
        else:
            warm = taken
        if fewest is not None:
            slowest = max(batch.period for batch in taken.values())
            size = max(fewest, min(items, math.ceil(BATCH_SECONDS / max(slowest, 1e-9))))
    return batches

"""Measuring splits of one model for `refine`: their files in a temporary folder, their processes alive while needed."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np

from framework.deploy.pipeline.pipeline import Batch
from framework.deploy.pipeline.turns import FEWEST, take_turns
from framework.deploy.tuning.correction import Timing
from framework.deploy.tuning.trial import Stages, Subject
from framework.errors import UserError
from framework.model.arrays import IntArray

EXPLORING_SHARE, LAST_SHARE, SOLVE_SHARE = 0.3, 0.9, 0.15
"""How much of the time that is left a turn of measurements, the last race and one solve may take."""

FOR_THE_RACE = 0.4
"""No further round of solving begins when less than this share of the time is left."""

FEWEST_SOLVE_SECONDS = 0.2


@dataclass(slots=True, kw_only=True)
class PipelineBench:
    """Runs splits of one model as pipelines; close it after use.

    Parameters
    ----------
    subject
        The unsplit model, whose results the splits must have, and what runs them.
    stages
        Number of stages k.
    items, fit_items
        Items in a batch, and whether there may be fewer where splits take longer than the unsplit model.
    interrupted
        Asked between batches whether to end.
    deadline
        When all must be done, on the clock of `time.monotonic`; some time before, measuring ends.
    """

    subject: Subject
    stages: int
    items: int
    fit_items: bool = False
    interrupted: Callable[[], bool] = lambda: False
    deadline: float = math.inf
    say: Callable[[str], None] = lambda text: None
    _alive: dict[str, tuple[Stages, contextlib.ExitStack]] = field(default_factory=dict)
    _opened: float = field(default_factory=time.monotonic)

    def __enter__(self) -> PipelineBench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep(())

    def stopped(self) -> bool:
        """Whether to end now."""
        return self.interrupted()

    def hurried(self) -> bool:
        """Whether what is left of the time is needed for the last race."""
        return self._left() < FOR_THE_RACE * (self.deadline - self._opened)

    def solve_seconds(self, most: float) -> float:
        """Return how long one solve may take."""
        return max(FEWEST_SOLVE_SECONDS, min(most, SOLVE_SHARE * self._left()))

    def measure(
        self, partitions: Mapping[str, IntArray], rounds: int, *, last: bool = False
    ) -> dict[str, Timing | str]:
        """Return what each split took in turns with the others, or why it cannot be run.

        A split that was in the measurement before runs on in the same processes. One with other results than the
        unsplit model cannot be run.
        """
        until = time.monotonic() + (LAST_SHARE if last else EXPLORING_SHARE) * self._left()
        self._keep(partitions)
        answers: dict[str, Timing | str] = {}
        for name, stage_of in partitions.items():
            late = len(self._alive) > last and time.monotonic() > until
            if late and name not in self._alive:
                answers[name] = "there was no time left to measure it"
            elif name not in self._alive and not self.stopped():
                self.say(f"starting {name}")
                try:
                    self._start(name, stage_of)
                except UserError as error:
                    answers[name] = str(error)
        runners = {name: self._alive[name][0] for name in partitions if name in self._alive}
        if self.stopped() or not runners:
            return answers
        fewest = self.stages + FEWEST if self.fit_items else None
        batches = take_turns(runners, self.items, rounds, self._tell(runners), self.stopped, until, fewest)
        for name, taken in batches.items():
            if not taken:
                continue
            verdict = runners[name].judge(taken)
            if not verdict.equal:
                shown = verdict.difference
                answers[name] = f"its results differ from those of the unsplit model by {shown.worst:.1e}"
            else:
                answers[name] = self._timing(runners[name], taken)
        return answers

    def _left(self) -> float:
        return max(0.0, self.deadline - time.monotonic())

    def _tell(self, runners: Mapping[str, Stages]) -> Callable[[str], None]:
        names = ", ".join(runners)
        return lambda text: self.say(f"{names}: {text}")

    def _keep(self, names: Mapping[str, IntArray] | Sequence[str]) -> None:
        for name in [name for name in self._alive if name not in names]:
            self._alive.pop(name)[1].close()

    def _start(self, name: str, stage_of: IntArray) -> None:
        with contextlib.ExitStack() as stack:
            runner = stack.enter_context(self.subject.start(name, stage_of))
            self._alive[name] = (runner, stack.pop_all())

    def _timing(self, runner: Stages, batches: Sequence[Batch]) -> Timing:
        busy = np.full((len(batches), self.stages), np.nan)
        busy[:, runner.numbers] = [batch.busy for batch in batches]
        return Timing(periods=np.array([batch.period for batch in batches]), busy=busy)

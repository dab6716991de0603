"""Measuring splits of one model for `refine`: their files in a temporary folder, their processes alive while needed."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np

from framework.deploy.correction import Timing
from framework.deploy.model import ModelFile
from framework.deploy.pipeline import Batch, Pipeline
from framework.deploy.runtime import Feed, Optimization
from framework.deploy.split import split_model
from framework.deploy.turns import Unsplit, take_turns
from framework.deploy.verdict import Judge
from framework.errors import UserError
from framework.model.topology import IntArray


@dataclass(slots=True, kw_only=True)
class PipelineBench:
    """Runs splits of one model as pipelines; close it after use.

    Parameters
    ----------
    model, dims
        The unsplit model, and the sizes of its symbolic dimensions.
    folder
        Where stages are written meanwhile.
    stages
        Number of stages k.
    single
        The unsplit model, whose results the splits must have.
    items
        Items in a batch.
    interrupted
        Asked between batches whether to end.
    """

    model: ModelFile
    dims: Mapping[str, int]
    folder: Path
    stages: int
    feed: Feed
    single: Unsplit
    items: int
    optimization: Optimization = Optimization.ALL
    affinity: bool = True
    interrupted: Callable[[], bool] = lambda: False
    say: Callable[[str], None] = lambda text: None
    _alive: dict[str, tuple[Pipeline, contextlib.ExitStack]] = field(default_factory=dict)
    _numbers: dict[str, list[int]] = field(default_factory=dict)
    _judge: Judge = field(init=False)

    def __post_init__(self) -> None:
        self._judge = Judge(model=self.model, feed=self.feed, expected=self.single.expected)

    def __enter__(self) -> PipelineBench:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep(())

    def stopped(self) -> bool:
        """Whether to end now."""
        return self.interrupted()

    def measure(self, partitions: Mapping[str, IntArray], rounds: int) -> dict[str, Timing | str]:
        """Return what each split took in turns with the others, or why it cannot be run.

        A split that was in the measurement before runs on in the same processes. One with other results than the
        unsplit model cannot be run.
        """
        self._keep(partitions)
        answers: dict[str, Timing | str] = {}
        for name, stage_of in partitions.items():
            if name not in self._alive and not self.stopped():
                self.say(f"starting {name}")
                try:
                    self._start(name, stage_of)
                except UserError as error:
                    answers[name] = str(error)
        runners = {name: self._alive[name][0] for name in partitions if name in self._alive}
        if self.stopped() or not runners:
            return answers
        batches = take_turns(runners, self.items, rounds, self._tell(runners), self.stopped)
        for name, taken in batches.items():
            if not taken:
                continue
            verdict = self._judge.judge(runners[name].manifest, [batch.results for batch in taken])
            if not verdict.equal:
                shown = verdict.difference
                answers[name] = f"its results differ from those of the unsplit model by {shown.worst:.1e}"
            else:
                answers[name] = self._timing(name, taken)
        return answers

    def _tell(self, runners: Mapping[str, Pipeline]) -> Callable[[str], None]:
        names = ", ".join(runners)
        return lambda text: self.say(f"{names}: {text}")

    def _keep(self, names: Mapping[str, IntArray] | Sequence[str]) -> None:
        for name in [name for name in self._alive if name not in names]:
            self._alive.pop(name)[1].close()

    def _start(self, name: str, stage_of: IntArray) -> None:
        with contextlib.ExitStack() as stack:
            folder = self.folder / name.replace(" ", "-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            manifest = split_model(self.model, stage_of.tolist(), folder, dims=self.dims)
            pipeline = Pipeline(manifest, self.feed, optimization=self.optimization, affinity=self.affinity)
            runner = stack.enter_context(pipeline)
            self._numbers[name] = [row["stage"] for row in manifest.stages]
            self._alive[name] = (runner, stack.pop_all())

    def _timing(self, name: str, batches: Sequence[Batch]) -> Timing:
        busy = np.full((len(batches), self.stages), np.nan)
        busy[:, self._numbers[name]] = [batch.busy for batch in batches]
        return Timing(periods=np.array([batch.period for batch in batches]), busy=busy)

"""`pipeline`: a split against the unsplit model and the naive splits, all measured in the same run.

A split's throughput is the median over its rounds; the fastest round is kept as well. Two splits that are the same
partition are measured once.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from framework.deploy.pipeline.pipeline import Batch
from framework.deploy.pipeline.turns import FEWEST, Runner, take_turns
from framework.deploy.pipeline.verdict import Verdict
from framework.deploy.split.assignment import Splittable
from framework.deploy.split.manifest import Manifest
from framework.deploy.tuning.solved import solved_graph
from framework.errors import UserError
from framework.layouts.naive import naive_partitions, named_split
from framework.model.arrays import IntArray
from framework.model.device import Device
from framework.model.graph import ModelGraph
from framework.model.pricing import price
from framework.model.problem import Partition, Problem, stage_costs

SPLIT, UNSPLIT = "this split", "unsplit"
STARTING_SHARE, MEASURED_SHARE = 0.4, 0.85
"""Shares of the budget: by the first all splits have started, after the second no further round begins."""


class Whole(Runner, Protocol):
    """The unsplit model, run in this process on one thread."""

    expected: list[tuple[str, NDArray[Any]]]

    @property
    def finite(self) -> bool:
        """Whether all results are finite numbers."""

    def batch_items(self, stages: int) -> int:
        """Return how many items a batch has by default."""


class Stages(Runner, Protocol):
    """The stages of one partition, running."""

    @property
    def numbers(self) -> list[int]:
        """Numbers of the stages that are not empty."""

    def judge(self, batches: Sequence[Batch]) -> Verdict:
        """Compare the results of batches with those of the unsplit model."""


class Subject(Protocol):
    """What a trial needs of a split and its model, whatever runs them."""

    @property
    def model(self) -> Splittable:
        """The unsplit model."""

    @property
    def settings(self) -> str:
        """What the runtime was told."""

    def unsplit(self) -> Whole:
        """Return the unsplit model, loaded."""

    def start(self, name: str, stage_of: IntArray | None) -> AbstractContextManager[Stages]:
        """Start the stages of a partition; None for those of the split itself."""

    def write(
        self,
        stage_of: IntArray,
        folder: Path,
        *,
        predicted: Mapping[str, Any],
        source: Path,
        force: bool,
        complete: Callable[[Manifest], Manifest],
    ) -> Manifest:
        """Write the stages of a partition to a folder, as `split` does."""


@dataclass(slots=True)
class Starts:
    """Whether another split may be started: a large model takes long to write and to load, more often than once.

    Parameters
    ----------
    until
        When all are to have started, on the clock of `time.monotonic`.
    """

    until: float
    longest: float = 0.0

    @property
    def room(self) -> bool:
        """Whether one that takes as long as the slowest so far would still have started in time."""
        return time.monotonic() + self.longest <= self.until

    @contextlib.contextmanager
    def measured(self) -> Iterator[None]:
        """Time a start."""
        begun = time.monotonic()
        yield
        self.longest = max(self.longest, time.monotonic() - begun)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to run the model.

    Attributes
    ----------
    name
        `SPLIT`, `UNSPLIT`, or the name of a naive split.
    period
        Median seconds from item to item.
    quartiles
        Quartiles of the period over the rounds.
    fastest
        Period of the fastest round: what is left when other programs on the machine disturb least.
    busy
        Seconds that each stage computes for an item and hands it over; of a core, for programs of torch.
    predicted
        The bottleneck that the cost model gives, in seconds; None where it is unknown.
    same_as
        The split that this one is the same as, and was not measured apart from.
    """

    name: str
    period: float
    quartiles: tuple[float, float]
    fastest: float
    busy: tuple[float, ...]
    predicted: float | None
    same_as: str | None = None

    @property
    def throughput(self) -> float:
        """Items per second."""
        return 1 / self.period


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What was measured.

    Attributes
    ----------
    rows
        The split itself, the unsplit model, the naive splits.
    verdict
        Whether the results are those of the unsplit model.
    remarks
        What the user should know.
    """

    model: str
    stages: int
    rows: tuple[Row, ...]
    verdict: Verdict
    items: int
    rounds: int
    settings: str
    remarks: tuple[str, ...] = field(default=())

    @property
    def equal(self) -> bool:
        """Whether the results are those of the unsplit model."""
        return self.verdict.equal

    @property
    def split(self) -> Row:
        """The split itself."""
        return self.rows[0]

    @property
    def naive(self) -> list[Row]:
        """The naive splits."""
        return [row for row in self.rows if row.name not in (SPLIT, UNSPLIT)]

    @property
    def best_naive(self) -> Row | None:
        """The naive split with the best median."""
        return min(self.naive, key=lambda row: row.period, default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return the trial as JSON-compatible data."""
        best, shown = self.best_naive, self.verdict.difference
        predicted = self.split.predicted
        fastest = min((row.fastest for row in self.naive), default=math.nan)
        return {
            "model": self.model,
            "stages": self.stages,
            "items": self.items,
            "rounds": self.rounds,
            "optimization": self.settings,
            "difference": shown.value,
            "equal": self.equal,
            "result": shown.name or None,
            "result_difference": shown.worst,
            "result_allowed": shown.allowed,
            "predicted_over_measured": None if predicted is None else predicted / self.split.period,
            "predicted_over_busy": None if predicted is None else predicted / max(self.split.busy),
            "throughput_over_best_naive": None if best is None else best.period / self.split.period,
            "fastest_over_best_naive": None if best is None else fastest / self.split.fastest,
            "rows": [
                {
                    "name": row.name,
                    "throughput": row.throughput,
                    "period": row.period,
                    "period_quartiles": list(row.quartiles),
                    "fastest_period": row.fastest,
                    "busy": list(row.busy),
                    "predicted": row.predicted,
                    "same_as": row.same_as,
                }
                for row in self.rows
            ],
            "remarks": list(self.remarks),
        }


def run_trial(
    manifest: Manifest,
    subject: Subject,
    *,
    items: int | None = None,
    rounds: int = 9,
    naive: bool = True,
    budget: float = math.inf,
    say: Callable[[str], None] = lambda text: None,
) -> Trial:
    """Measure a split, the unsplit model and, unless told otherwise, the naive splits into as many stages.

    Parameters
    ----------
    subject
        The split and its model, as `framework.deploy.tuning.subjects.open_subject` returns them.
    items, rounds
        Items in a batch, by default as many as the unsplit model does in `BATCH_SECONDS`; batches of each split.
    budget
        Seconds for all of it. Where it is short there are fewer rounds, one at least, and naive splits are left out.

    Raises
    ------
    UserError
        If a stage fails.
    """
    begun = time.monotonic()
    remarks: list[str] = []
    pricing = _Pricing(manifest, subject.model)
    partitions = {SPLIT: stages_of_nodes(manifest, subject.model)}
    if naive and len(manifest.stages) > 1:
        partitions |= _naive(subject.model.read_graph(manifest.dims), len(manifest.stages))
    with contextlib.ExitStack() as stack:
        runners: dict[str, Stages] = {}
        same: dict[str, str] = {}
        starts = Starts(until=begun + STARTING_SHARE * budget)
        for name, stage_of in partitions.items():
            twin = next((other for other in runners if np.array_equal(partitions[other], stage_of)), None)
            if twin is not None:
                same[name] = twin
                continue
            if runners and not starts.room:
                remarks.append(f"{name} was left out, for the budget of {budget:g} s")
                continue
            say(f"starting {name}")
            try:
                with starts.measured():
                    runners[name] = stack.enter_context(subject.start(name, None if name == SPLIT else stage_of))
            except UserError as error:
                # A split that was made without regard to what can be cut.
                if name == SPLIT:
                    raise
                remarks.append(f"{name} was left out: {error}")
        say("starting the unsplit model")
        single = subject.unsplit()
        fewest = len(manifest.stages) + FEWEST
        per_batch = max(items, fewest) if items else single.batch_items(len(manifest.stages))
        until = begun + MEASURED_SHARE * budget
        batches = take_turns(
            {**runners, UNSPLIT: single}, per_batch, rounds, say, until=until, fewest=None if items else fewest
        )
        verdict = runners[SPLIT].judge(batches[SPLIT])
    rows = [
        _row(name, batches[same.get(name, name)], pricing.of(stage_of), same.get(name))
        for name, stage_of in partitions.items()
        if same.get(name, name) in batches
    ]
    done = len(batches[UNSPLIT])
    if done < rounds:
        remarks.append(f"{done} of {rounds} rounds, for the budget of {budget:g} s")
    rows.insert(1, _row(UNSPLIT, batches[UNSPLIT], None, None))
    if not single.finite:
        remarks.append("the model's results are not finite, so that equal results prove little")
    return Trial(
        model=subject.model.path.name,
        stages=len(manifest.stages),
        rows=tuple(rows),
        verdict=verdict,
        items=per_batch,
        rounds=done,
        settings=subject.settings,
        remarks=(*manifest.document["remarks"], *pricing.remarks, *verdict.remarks, *remarks),
    )


def _naive(graph: ModelGraph, stages: int) -> dict[str, IntArray]:
    """Return the naive splits: by counting, and by whole layers where the names of nodes tell of enough of them."""
    splits = naive_partitions(graph, stages)
    with contextlib.suppress(UserError):
        layers = named_split("even-layers", graph, stages)
        if len(np.unique(layers)) == stages:
            splits["equal layers"] = layers
    return splits


def _row(name: str, batches: Sequence[Batch], predicted: float | None, same_as: str | None) -> Row:
    periods = [batch.period for batch in batches]
    low, middle, high = (float(v) for v in np.quantile(periods, (0.25, 0.5, 0.75)))
    busy = np.median([batch.busy for batch in batches], axis=0)
    return Row(
        name=name,
        period=middle,
        quartiles=(low, high),
        fastest=min(periods),
        busy=tuple(float(v) for v in busy),
        predicted=predicted,
        same_as=same_as,
    )


def stages_of_nodes(manifest: Manifest, model: Splittable) -> IntArray:
    """Return the partition of a manifest, its stages numbered without gaps."""
    number = {name: i for i, row in enumerate(manifest.stages) for name in row["nodes"]}
    unknown = [name for name in model.node_names if name not in number]
    if (unknown and not manifest.empty_stages) or len(number) > len(model.node_names):
        raise UserError("the stages are not of this model", where=str(model.path), hint="split it again")
    return np.array([number.get(name, len(manifest.stages) - 1) for name in model.node_names], np.int64)


class _Pricing:
    """What the cost model says of a partition, if the graph that was solved can still be read."""

    def __init__(self, manifest: Manifest, model: Splittable) -> None:
        self.remarks: list[str] = []
        self._found: tuple[ModelGraph, Device | None] | None = None
        try:
            self._found = solved_graph(manifest, model)
        except UserError as error:
            self.remarks.append(f"no predictions: the graph that was solved cannot be read ({error})")

    def of(self, stage_of: IntArray) -> float | None:
        """Return the bottleneck in seconds."""
        if self._found is None:
            return None
        instance = price(*self._found)
        stages = np.empty(instance.n, np.int64)
        stages[instance.node_of_input] = stage_of
        problem = Problem(instance=instance, stages=int(stage_of.max()) + 1)
        return instance.in_units(stage_costs(problem, Partition(stage_of=stages)).bottleneck)

"""A record: the best known partition and dual bounds of one graph of the testbed in one number of stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from framework.bounds import Interval, Soundness
from framework.model.arrays import IntArray
from framework.model.graph import ModelGraph
from framework.model.topology import stable_topological_order

DEVICE = "reference"
"""The device preset that records are priced with."""
STAGES = (2, 4, 8, 16, 32, 64)
"""The numbers of stages that there are records of, where a graph has as many nodes."""


class Evidence(StrEnum):
    """What a recorded dual bound rests on, weakest first."""

    RUN = "run"
    """A run of this project's own code claimed it; `ProvedBound.soundness` says what that claim rests on."""
    CERTIFICATE = "certificate"
    """Its certificate was checked again when it was recorded."""
    LOG = "log"
    """The independent checker (`framework.proof`) replayed a proof log when it was recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who found something, and when.

    Attributes
    ----------
    source
        The entry that found it.
    date
        Day on which it was recorded or, from a study's store, found: ``2026-11-30``.
    version
        Version of pipebound that found it.
    credit
        Name of the person who sent it; empty for this project's own runs.
    """

    source: str
    date: str
    version: str
    credit: str = ""

    def as_dict(self) -> dict[str, str]:
        """Return it as JSON-compatible data."""
        facts = {"source": self.source, "date": self.date, "version": self.version}
        return facts | ({"credit": self.credit} if self.credit else {})


@dataclass(frozen=True, slots=True, kw_only=True)
class BestPartition:
    """The best known partition.

    Attributes
    ----------
    ticks
        Its bottleneck.
    runs
        Its stages, as `stage_runs` writes them.
    """

    ticks: int
    runs: str
    origin: Origin

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {"ticks": self.ticks, **self.origin.as_dict(), "partition": self.runs}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvedBound:
    """A dual bound, and what it rests on.

    Attributes
    ----------
    ticks
        No partition has a smaller bottleneck.
    soundness
        As stated by what proved it.
    evidence
        What was checked when it was recorded.
    log
        SHA-256 digest of the proof log, without packing; empty without one.
    """

    ticks: int
    soundness: Soundness
    evidence: Evidence
    origin: Origin
    log: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        facts = {"ticks": self.ticks, "soundness": self.soundness.value, "evidence": self.evidence.value}
        return facts | self.origin.as_dict() | ({"log": self.log} if self.log else {})

    @property
    def is_checked(self) -> bool:
        """Whether it was checked again when it was recorded."""
        return self.evidence is not Evidence.RUN

    @property
    def words(self) -> str:
        """What it rests on: ``proof log``, ``certificate``, ``exact code``, ``certified code``, ``solver``, ..."""
        if self.evidence is Evidence.LOG:
            return "proof log"
        if self.evidence is Evidence.CERTIFICATE:
            return "certificate"
        return {Soundness.EXACT: "exact code", Soundness.CERTIFIED: "certified code"}.get(
            self.soundness, self.soundness.value
        )

    @property
    def strength(self) -> int:
        """How far it may be believed; larger is stronger."""
        if self.is_checked:
            return len(Soundness) + list(Evidence).index(self.evidence)
        return len(Soundness) - list(Soundness).index(self.soundness)


def strongest(bounds: Iterable[ProvedBound]) -> tuple[ProvedBound, ...]:
    """Return the bounds that no other one equals or exceeds with evidence as strong, highest first.

    Of bounds that are alike in both, the first stays.
    """
    kept: list[ProvedBound] = []
    for bound in sorted(bounds, key=lambda bound: (-bound.ticks, -bound.strength)):
        if not kept or bound.strength > kept[-1].strength:
            kept.append(bound)
    return tuple(kept)


@dataclass(frozen=True, slots=True, kw_only=True)
class PairRecord:
    """What is known of one graph in one number of stages.

    Attributes
    ----------
    stages
        Number of stages k.
    best
        The best known partition; None while there is none.
    bounds
        The best dual bound, then lower ones that rest on stronger evidence (`strongest`).
    longest, spent
        Seconds of the longest run of the pair, and of all runs that were recorded, a core each.
    """

    stages: int
    best: BestPartition | None = None
    bounds: tuple[ProvedBound, ...] = ()
    longest: float = 0.0
    spent: float = 0.0

    @property
    def bound(self) -> ProvedBound | None:
        """The best dual bound."""
        return self.bounds[0] if self.bounds else None

    @property
    def interval(self) -> Interval:
        """Dual bound and bottleneck in ticks."""
        return Interval(
            dual=None if not self.bounds else self.bounds[0].ticks,
            incumbent=None if self.best is None else self.best.ticks,
        )

    @property
    def is_open(self) -> bool:
        """Whether the best known partition is not proven optimal, to the tick."""
        return not self.interval.closed

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON-compatible data."""
        return {
            "stages": self.stages,
            "longest": round(self.longest, 1),
            "spent": round(self.spent, 1),
            "bounds": [bound.as_dict() for bound in self.bounds],
            "best": None if self.best is None else self.best.as_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRecords:
    """The records of one graph.

    Attributes
    ----------
    graph
        Its name in the catalogue.
    sha256
        Its digest there; where a graph has another one today, its records say nothing of it.
    instance
        Digest of the instance that the device makes of it: bounds in ticks are bounds on that.
    ticks_per_second
        How many ticks a second has.
    pairs
        By number of stages.
    """

    graph: str
    sha256: str
    instance: str
    ticks_per_second: float
    pairs: Mapping[int, PairRecord]

    def with_pair(self, pair: PairRecord) -> GraphRecords:
        """Return the records with one pair replaced or added."""
        pairs = {**self.pairs, pair.stages: pair}
        return replace(self, pairs={stages: pairs[stages] for stages in sorted(pairs)})

    def seconds(self, ticks: int | None) -> float | None:
        """Return ticks as seconds."""
        return None if ticks is None else ticks / self.ticks_per_second


def stage_runs(stage_of: IntArray, graph: ModelGraph) -> str:
    """Write a partition as runs of equal stages: ``0*12 1*3 0 1*9`` is twelve nodes of stage 0, three of stage 1, ...

    Parameters
    ----------
    stage_of
        ``[n]`` stage of each node, in the order of the graph.
    graph
        Its nodes are listed in the topological order that always takes the smallest index that is ready.
    """
    listed = stage_of[stable_topological_order(graph.topology)]
    starts = np.flatnonzero(np.diff(listed, prepend=-1))
    lengths = np.diff(np.append(starts, len(listed)))
    pairs = zip(listed[starts].tolist(), lengths.tolist(), strict=True)
    return " ".join(str(stage) if length == 1 else f"{stage}*{length}" for stage, length in pairs)


def stages_of_runs(runs: str, graph: ModelGraph) -> IntArray:
    """Return the stage of each node, ``[n]``, that `stage_runs` has written.

    Raises
    ------
    ValueError
        If the text is not of that form, or is of another number of nodes.
    """
    stages: list[int] = []
    lengths: list[int] = []
    for word in runs.split():
        stage, _, length = word.partition("*")
        # Longer numbers than any graph has nodes would take long to read.
        if not all(part.isascii() and part.isdigit() and len(part) < 8 for part in (stage, length or "1")):
            raise ValueError(f"{word[:20]!r} is no run of stages")
        stages.append(int(stage))
        lengths.append(int(length or 1))
    order = stable_topological_order(graph.topology)
    if sum(lengths) != len(order):
        raise ValueError(f"the partition is of {sum(lengths)} nodes, the graph has {len(order)}")
    stage_of = np.empty(len(order), np.int64)
    stage_of[order] = np.repeat(np.array(stages, np.int64), lengths)
    return stage_of

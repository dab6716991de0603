"""Chains of nodes with a profile that is wrong and times that are hidden, and a bench that runs them on paper."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations_with_replacement

import numpy as np

from framework.deploy.tuning.correction import Timing
from framework.deploy.tuning.solved import Solved
from framework.model.arrays import IntArray
from framework.model.device import Device
from framework.model.graph import FloatArray, ModelGraph, PhysicalCosts
from framework.model.topology import build_topology
from framework.portfolio.constraints import Constraints


def chain(seconds: FloatArray, k: int, *, cut_bytes: float = 0.0, constraints: Constraints | None = None) -> Solved:
    """Return a chain ``v0 -> v1 -> ...`` with these times on a link of 1 GB/s."""
    n = len(seconds)
    graph = ModelGraph(
        name="chain",
        source="tests",
        node_names=tuple(f"v{v}" for v in range(n)),
        ops=("x",) * n,
        topology=build_topology(n, np.arange(n - 1), np.arange(n), np.arange(1, n)),
        costs=PhysicalCosts(
            flops=np.ones(n),
            parameter_bytes=np.ones(n),
            accessed_bytes=np.ones(n),
            seconds=np.asarray(seconds, np.float64),
            tensor_bytes=np.full(n - 1, cut_bytes),
        ),
    )
    return Solved(
        graph=graph,
        device=Device(name="paper", link_bandwidth=1e9),
        stages=k,
        constraints=constraints or Constraints(),
        fused=(),
        note={},
    )


def all_splits(n: int, k: int) -> list[IntArray]:
    """Return every partition of a chain into at most k stages, first cuts first."""
    return [
        np.searchsorted(np.array(cuts), np.arange(n), side="right").astype(np.int64)
        for cuts in combinations_with_replacement(range(1, n + 1), k - 1)
    ]


def best_split(problem: Solved) -> IntArray:
    """Return the partition with the smallest bottleneck, by trying all that are allowed."""
    splits = [s for s in all_splits(problem.graph.topology.n, problem.stages) if problem.allows(s)]
    return min(splits, key=problem.bottleneck)


class PaperBench:
    """A machine with hidden times; noise is drawn from a seed."""

    def __init__(self, truth: Solved, *, noise: float = 0.0, seed: int = 0, patience: int = 10**6) -> None:
        self.truth, self.noise, self.patience = truth, noise, patience
        self.rng = np.random.default_rng(seed)
        self.measured: list[list[str]] = []
        self.broken: dict[str, str] = {}

    def stopped(self) -> bool:
        return len(self.measured) >= self.patience

    def hurried(self) -> bool:
        return False

    def measure(
        self, partitions: Mapping[str, IntArray], rounds: int, *, last: bool = False
    ) -> dict[str, Timing | str]:
        if self.stopped():
            return {}
        self.measured.append(list(partitions))
        mood = np.exp(self.noise * self.rng.standard_normal())
        answers: dict[str, Timing | str] = {}
        for name, stage_of in partitions.items():
            if name in self.broken:
                answers[name] = self.broken[name]
                continue
            work = np.bincount(stage_of, self.truth.work(), self.truth.stages)
            busy = work + self.truth.link_seconds(stage_of)
            busy[np.bincount(stage_of, minlength=self.truth.stages) == 0] = np.nan
            drawn = mood * busy * np.exp(self.noise * self.rng.standard_normal((rounds, self.truth.stages)))
            answers[name] = Timing(periods=np.nanmax(drawn, axis=1), busy=drawn)
        return answers

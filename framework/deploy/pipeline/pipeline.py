"""Running the stages of a split as a pipeline of processes, one thread each."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.deploy.pipeline.channel import Channel, open_channel
from framework.deploy.pipeline.in_order import run_in_order
from framework.deploy.pipeline.processes import Processes
from framework.deploy.pipeline.stage_process import Arrays, StageJob, StageTimes, run_stage
from framework.deploy.runtime import Feed, Optimization
from framework.deploy.split.manifest import Manifest

START_SECONDS = 120.0
STALL_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """What one batch of items took.

    Attributes
    ----------
    period
        Seconds from item to item once the pipeline is full: one over the throughput.
    busy
        Median seconds that each stage computes for an item and hands it over.
    results
        The results of the last item.
    """

    period: float
    busy: tuple[float, ...]
    results: Arrays


@dataclass(slots=True)
class Pipeline(Processes):
    """The stages of a split, each in a process that waits for work; close it after use.

    Parameters
    ----------
    manifest
        The split.
    feed
        The inputs of the whole model, the same for every item.
    optimization
        How far onnxruntime rewrites each stage.
    affinity
        Whether each stage has a core of its own, where there are enough: another one in every batch, since cores
        are not alike to those who share the machine with other programs.
    """

    manifest: Manifest
    feed: Feed
    optimization: Optimization = Optimization.ALL
    affinity: bool = True
    _batches: int = 0
    _memories: list[SharedMemory] = field(default_factory=list)

    def run(self, items: int) -> Batch:
        """Send `items` items through; at least two more than there are stages.

        Raises
        ------
        UserError
            If a stage fails or stalls.
        """
        count = len(self._pipes)
        if items < count + 2:
            raise ValueError("too few items to fill the pipeline")
        orders = [(items, (position + self._batches) % count) for position in range(count)]
        self._batches += 1
        answers = self._ask(orders, STALL_SECONDS + 10.0 * items)
        times: list[StageTimes] = [answer[0] for answer in answers]
        done = np.max([stage.ended for stage in times], axis=0)
        handed_through = [row["name"] for row in self.manifest.document["outputs"] if row["stage"] is None]
        results: Arrays = {name: self.feed[name] for name in handed_through if name in self.feed}
        for _, last in answers:
            results |= last
        return Batch(
            period=float(done[-1] - done[count]) / (items - 1 - count),
            busy=tuple(float(np.median(stage.ended - stage.begun)) for stage in times),
            results=results,
        )

    def close(self) -> None:
        """End all processes and free the shared memory."""
        Processes.close(self)
        for memory in self._memories:
            memory.close()
            memory.unlink()
        self._memories = []

    def _start(self) -> None:
        # Not fork: the parent may run threads of onnxruntime.
        context = multiprocessing.get_context("spawn")
        # One item in this process, to learn all shapes.
        values = run_in_order(self.manifest, self.feed)
        channels = self._channels(values, context)
        rows = self.manifest.stages
        cores = sorted(os.sched_getaffinity(0))
        results = {row["name"]: row["stage"] for row in self.manifest.document["outputs"]}
        for row in rows:
            number = row["stage"]
            job = StageJob(
                file=self.manifest.folder / row["file"],
                optimization=self.optimization,
                feed={name: self.feed[name] for name in row["inputs"] if name in self.feed},
                results={name: values[name] for name, stage in results.items() if stage == number},
                inbound=tuple(channel for channel in channels if channel.receiver == number),
                outbound=tuple(channel for channel in channels if channel.sender == number),
                cores=tuple(cores[: len(rows)]) if self.affinity and len(rows) <= len(cores) else (),
            )
            self._launch(context, run_stage, job)
        self._gather(len(rows), START_SECONDS)

    def _where(self, position: int | None = None) -> str:
        folder = self.manifest.folder
        return str(folder if position is None else folder / self.manifest.stages[position]["file"])

    def _channels(self, values: Mapping[str, NDArray[Any]], context: Any) -> list[Channel]:
        pairs: dict[tuple[int, int], list[tuple[str, NDArray[Any]]]] = {}
        for row in self.manifest.tensors:
            for receiver in row["to"]:
                pairs.setdefault((row["from"], receiver), []).append((row["name"], values[row["name"]]))
        channels = []
        for (sender, receiver), tensors in pairs.items():
            channel, memory = open_channel(sender, receiver, tensors, context)
            self._memories.append(memory)
            channels.append(channel)
        return channels

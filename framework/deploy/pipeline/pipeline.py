"""Running the stages of a split as a pipeline of processes, one thread each."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from multiprocessing.shared_memory import SharedMemory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.deploy.pipeline.channel import Channel, open_channel
from framework.deploy.pipeline.in_order import run_in_order
from framework.deploy.pipeline.stage_process import Arrays, StageJob, StageTimes, run_stage
from framework.deploy.runtime import Feed, Optimization
from framework.deploy.split.manifest import Manifest
from framework.errors import UserError
from framework.portfolio.processes.fork_server import without_main_module
from framework.signals import held

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
        Median seconds that each stage computes for an item.
    results
        The results of the last item.
    """

    period: float
    busy: tuple[float, ...]
    results: Arrays


@dataclass(slots=True)
class Pipeline:
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
    _processes: list[Any] = field(default_factory=list)
    _pipes: list[Any] = field(default_factory=list)

    def __enter__(self) -> Pipeline:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def run(self, items: int) -> Batch:
        """Send `items` items through; at least two more than there are stages.

        Raises
        ------
        UserError
            If a stage fails or stalls.
        """
        if items < len(self._pipes) + 2:
            raise ValueError("too few items to fill the pipeline")
        for position, pipe in enumerate(self._pipes):
            # A stage that has ended is told apart from the others when answers are gathered.
            with contextlib.suppress(BrokenPipeError):
                pipe.send((items, (position + self._batches) % len(self._pipes)))
        self._batches += 1
        answers = self._gather(STALL_SECONDS + 10.0 * items)
        times: list[StageTimes] = [answer[0] for answer in answers]
        done = np.max([stage.ended for stage in times], axis=0)
        filled = len(times)
        handed_through = [row["name"] for row in self.manifest.document["outputs"] if row["stage"] is None]
        results: Arrays = {name: self.feed[name] for name in handed_through if name in self.feed}
        for _, last in answers:
            results |= last
        return Batch(
            period=float(done[-1] - done[filled]) / (items - 1 - filled),
            busy=tuple(float(np.median(stage.ended - stage.begun)) for stage in times),
            results=results,
        )

    def close(self) -> None:
        """End all processes and free the shared memory."""
        for pipe in self._pipes:
            try:
                pipe.send(None)
            except OSError:
                continue
            finally:
                pipe.close()
        for process in self._processes:
            process.join(timeout=1.0)
            if process.is_alive():
                process.kill()
                process.join()
        for memory in self._memories:
            memory.close()
            memory.unlink()
        self._pipes, self._processes, self._memories = [], [], []

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
            ours, theirs = context.Pipe()
            process = context.Process(target=run_stage, args=(job, theirs), daemon=True)
            with held(), without_main_module():
                process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)
        self._gather(START_SECONDS)

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

    def _gather(self, patience: float) -> list[Any]:
        """Return one answer of every stage; end with the first error, whoever has it: the others may wait for it."""
        answers: dict[int, Any] = {}
        deadline = time.monotonic() + patience
        while len(answers) < len(self._pipes):
            waiting = {pipe: i for i, pipe in enumerate(self._pipes) if i not in answers}
            ended = {process.sentinel: i for i, process in enumerate(self._processes) if i not in answers}
            left = deadline - time.monotonic()
            ready = wait([*waiting, *ended], timeout=max(0.0, left))
            if not ready:
                raise UserError("the pipeline has stalled", where=str(self.manifest.folder))
            for pipe in [item for item in ready if item in waiting]:
                answers[waiting[pipe]] = self._receive(waiting[pipe])
            for handle in [item for item in ready if item in ended]:
                if ended[handle] not in answers:
                    answers[ended[handle]] = self._receive(ended[handle])
        return [answers[i] for i in range(len(self._pipes))]

    def _receive(self, position: int) -> Any:
        where = str(self.manifest.folder / self.manifest.stages[position]["file"])
        try:
            answer = self._pipes[position].recv()
        except (EOFError, ConnectionResetError):
            self._processes[position].join(timeout=1.0)
            code = self._processes[position].exitcode
            raise UserError(f"the stage's process ended with {code}", where=where) from None
        if isinstance(answer, str):
            raise UserError(f"the stage fails: {answer}", where=where)
        return answer

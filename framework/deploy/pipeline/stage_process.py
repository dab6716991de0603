"""The process of one stage: a session, its channels, and a loop that computes from slot to slot."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.deploy.pipeline.channel import DEPTH, SPIN_SECONDS, Channel, OrphanedError, attach, take
from framework.deploy.runtime import Feed, Optimization, onnx_type, open_session

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageJob:
    """What the process of a stage needs to know.

    Attributes
    ----------
    file
        The stage's model.
    feed
        The inputs of the whole model that the stage uses; the same for every item.
    results
        Results of the whole model that the stage computes, with arrays of their shapes.
    inbound, outbound
        Its channels.
    cores
        The cores that the stages of its pipeline have to themselves; empty where there are too few.
    """

    file: Path
    optimization: Optimization
    feed: Feed
    results: Arrays
    inbound: tuple[Channel, ...]
    outbound: tuple[Channel, ...]
    cores: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageTimes:
    """When a stage began and ended each item, on the clock of `time.perf_counter`; ``[items]`` each."""

    begun: NDArray[np.float64]
    ended: NDArray[np.float64]


def run_stage(job: StageJob, pipe: Connection) -> None:
    """Serve a stage until the other end of the pipe closes or says stop.

    The pipe takes pairs (number of items to run, position in `StageJob.cores` of the core to run on); each is answered
    by a pair (`StageTimes`, results of the last item), or by the text of an error, after which the process ends. The
    first answer, before anything is asked, is None: ready.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _serve(job, pipe)
    except (EOFError, OrphanedError, BrokenPipeError):
        pass
    except Exception as error:
        with contextlib.suppress(OSError):
            pipe.send(f"{type(error).__name__}: {error}")
    # Arrays over the shared memory are still bound to the session, and would forbid to close it in good order.
    os._exit(0)


def _serve(job: StageJob, pipe: Connection) -> None:
    parent = os.getppid()
    stage = _Stage(job)
    pipe.send(None)
    while (order := pipe.recv()) is not None:
        items, position = order
        if job.cores:
            os.sched_setaffinity(0, {job.cores[position]})
        pipe.send(stage.run(items, parent))


class _Stage:
    def __init__(self, job: StageJob) -> None:
        self._job = job
        self._session = open_session(job.file, optimization=job.optimization)
        self._memories = [attach(channel) for channel in (*job.inbound, *job.outbound)]
        views = [
            channel.views(memory) for channel, memory in zip((*job.inbound, *job.outbound), self._memories, strict=True)
        ]
        inbound, outbound = views[: len(job.inbound)], views[len(job.inbound) :]
        self._slots = [self._bind([v[i] for v in inbound], [v[i] for v in outbound]) for i in range(DEPTH)]

    def _bind(self, inbound: list[Arrays], outbound: list[Arrays]) -> tuple[Any, Arrays, list[tuple[Any, Any]]]:
        """Return the binding of a slot, where its outputs appear, and what must be copied to a second receiver."""
        binding = self._session.io_binding()
        given = {name: np.ascontiguousarray(array) for name, array in self._job.feed.items()}
        for views in inbound:
            given |= views
        for entry in self._session.get_inputs():
            array = given[entry.name]
            binding.bind_input(entry.name, "cpu", 0, onnx_type(array), array.shape, array.ctypes.data)
        targets: Arrays = {}
        copies = []
        for views in outbound:
            for name, array in views.items():
                if name in targets:
                    copies.append((targets[name], array))
                else:
                    targets[name] = array
        for name, like in self._job.results.items():
            targets.setdefault(name, np.empty_like(like))
        for entry in self._session.get_outputs():
            array = targets[entry.name]
            binding.bind_output(entry.name, "cpu", 0, onnx_type(array), array.shape, array.ctypes.data)
        # The binding holds addresses only.
        targets |= {f"input {name}": array for name, array in given.items()}
        return binding, targets, copies

    def run(self, items: int, parent: int) -> tuple[StageTimes, Arrays]:
        """Compute `items` items and return when, and the results of the last one."""
        job, session = self._job, self._session
        spin = SPIN_SECONDS if job.cores else 0.0
        begun, ended = np.empty(items), np.empty(items)
        for i in range(items):
            binding, _, copies = self._slots[i % DEPTH]
            take((channel.filled for channel in job.inbound), parent, spin)
            take((channel.free for channel in job.outbound), parent, spin)
            begun[i] = time.perf_counter()
            session.run_with_iobinding(binding)
            for source, target in copies:
                np.copyto(target, source)
            ended[i] = time.perf_counter()
            for channel in job.inbound:
                channel.free.release()
            for channel in job.outbound:
                channel.filled.release()
        last = self._slots[(items - 1) % DEPTH][1]
        return StageTimes(begun=begun, ended=ended), {name: last[name].copy() for name in job.results}

"""The process of a stage: a group of `torch.distributed`, modules that were loaded, and a loop over items.

With gloo it computes on a core, with nccl on the GPU of its number. What a stage needs from others is received one item
ahead, and what it sends is on its way while the next item is computed, as in PyTorch's own pipelines.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import distributed, fx

from framework.deploy.torch.folding import fold
from framework.deploy.torch.model import TorchModel, open_torch_model
from framework.deploy.torch.placement import Backend, Place
from framework.deploy.torch.stages import cut_program
from framework.formats.torch.export.files import load
from framework.formats.torch.export.program import states_of, unlifted
from framework.registry import load_plugin_file

AHEAD = 2
"""Items of which a stage may have sent its tensors before the first of them has been received."""

GROUP_SECONDS = 600.0
SCRATCH_BYTES = 1 << 20
"""What `Stream` computes with: about as much as a core has in a cache of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A tensor between two stages: its name, shape and element type; who is at the other end; its number."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    peer: int
    tag: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Load a stage, and keep it under a key.

    Attributes
    ----------
    key
        What `Run` calls it.
    file
        The file of the stage, or that of the whole program.
    stage_of
        Of the whole program: the stage of each of its nodes; empty for the file of a stage.
    number
        The number of the stage in `stage_of`.
    feed
        File with the inputs of the program; `fed` are the positions of those that the stage takes.
    received
        The tensors that it takes after those.
    outputs
        Names of what it returns.
    sent
        Those of them that go to other stages, once for each receiver.
    """

    key: str
    file: Path
    stage_of: tuple[int, ...]
    number: int
    feed: Path
    fed: tuple[int, ...]
    received: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    sent: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Run so many items of what was loaded under a key; with `results`, return the outputs of the last one."""

    key: str
    items: int
    results: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """Send (rank 0) or receive (rank 1) tensors of so many bytes; the answer is `Streamed`.

    Both ends compute for `pause` seconds of a core between tensors: a stage that computes is asleep or elsewhere in its
    caches when a tensor comes, and wakes up for it, which an endless stream of tensors does not show.
    """

    items: int
    nbytes: int
    pause: float = 0.0


class Streamed(NamedTuple):
    """What each tensor took one end of a stream beside computing: seconds that passed, and seconds of cores."""

    passed: float
    used: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """Forget what was loaded under a key."""

    key: str


Order = Load | Run | Stream | Drop


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StageTimes:
    """What a stage took for each item, ``[items]`` each.

    Attributes
    ----------
    ended
        When it had computed it, on the clock of `time.perf_counter`.
    computed
        Seconds of a core, or of a GPU, that computing it took.
    handed_over
        Seconds of cores that the process took for an item beside: what receives and sends tensors, in all its threads.
    results
        The outputs of the last item, as `torch.save` writes them; empty unless asked for.
    """

    ended: NDArray[np.float64]
    computed: NDArray[np.float64]
    handed_over: float
    results: bytes

    @property
    def busy(self) -> float:
        """Seconds that the stage is busy for an item: the median that it computes, and what handing over takes."""
        return float(np.median(self.computed)) + self.handed_over


@dataclass(frozen=True, slots=True, kw_only=True)
class Seat:
    """Which of so many processes one is, where they meet, what connects them, and the core that it is kept on."""

    rank: int
    size: int
    meeting: str
    backend: Backend
    core: int | None


def serve(seat: Seat, plugin_files: Sequence[str], pipe: Connection) -> None:
    """Answer orders until the other end of the pipe closes or says stop; an answer that is a text is an error.

    The first answer, before anything is asked, is None: ready. Plugins may bring the operators of programs.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError, BrokenPipeError):
        try:
            if seat.core is not None:
                os.sched_setaffinity(0, {seat.core})
            for path in plugin_files:
                load_plugin_file(path)
            loaded = _Loaded(join(seat))
            pipe.send(None)
            while (order := pipe.recv()) is not None:
                pipe.send(loaded.answer(order, seat.rank))
        except (EOFError, BrokenPipeError):
            raise
        except Exception as error:
            pipe.send(f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}")
        else:
            distributed.destroy_process_group()
            return
    # Others may be gone, and to leave the group in good order would be to wait for them.
    os._exit(0)


def join(seat: Seat) -> Place:
    """Join the group of all processes, and return where this one computes."""
    torch.set_num_threads(1)
    place = Place.of(seat.backend, seat.rank)
    if seat.backend is Backend.NCCL:
        torch.cuda.set_device(place.device)
    else:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        str(seat.backend),
        init_method=f"file://{seat.meeting}",
        rank=seat.rank,
        world_size=seat.size,
        timeout=timedelta(seconds=GROUP_SECONDS),
    )
    return place


class _Loaded:
    """What this process has loaded: stages by their keys, and whole programs by their files."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._stages: dict[str, _Stage] = {}
        self._models: dict[Path, TorchModel] = {}

    def answer(self, order: Order, rank: int) -> Any:
        """Do what was asked for, and return the answer."""
        if isinstance(order, Stream):
            return _stream(order, rank, self._place)
        if isinstance(order, Run):
            return self._stages[order.key].run(order)
        if isinstance(order, Drop):
            self._stages.pop(order.key, None)
        else:
            self._stages[order.key] = _Stage(order, self._module(order), self._place)
        return True

    def _module(self, job: Load) -> Any:
        if not job.stage_of:
            return unlifted(load(job.file))
        if job.file not in self._models:
            self._models[job.file] = open_torch_model(job.file)
        stages = cut_program(self._models[job.file].program, job.stage_of)
        return next(stage.module for stage in stages if stage.number == job.number)


class _Stage:
    def __init__(self, job: Load, module: fx.GraphModule, place: Place) -> None:
        self._job, self._place = job, place
        self._module = place.put_module(fold(module).module)
        inputs = torch.load(job.feed, weights_only=True)
        self._fed = [place.put(inputs[i]) for i in job.fed]
        # nccl has no tags: both ends of each pair of stages go by the same order. And it connects a pair when both
        # first speak of each other; with pairs in ascending order none waits for one that waits for it.
        self._sent = sorted(job.sent, key=lambda one: (one.peer, one.tag))
        self._received = sorted(enumerate(job.received), key=lambda one: (one[1].peer, one[1].tag))
        states = states_of(self._module)
        self._states = [(held, held.clone()) for name, held in self._module.named_buffers() if name in states]

    def run(self, order: Run) -> StageTimes:
        """Compute items one after the other; each begins with the buffers that the program was loaded with."""
        items = order.items
        ended, computed = np.empty(items), np.empty(items)
        pending: list[list[Any]] = []
        began = time.process_time()
        with torch.no_grad():
            coming = self._receive()
            for i in range(items):
                taken, coming = coming, self._receive() if i + 1 < items else []
                for _, work in taken:
                    work.wait()
                for buffer, value in self._states:
                    buffer.copy_(value)
                begun = self._place.busy()
                results = self._module(*self._fed, *(tensor for tensor, _ in taken))
                computed[i], ended[i] = self._place.busy() - begun, self._place.passed()
                values = dict(zip(self._job.outputs, results, strict=True))
                pending.append([distributed.isend(values[sent.name], sent.peer, tag=sent.tag) for sent in self._sent])
                if len(pending) > AHEAD:
                    _wait(pending.pop(0))
            for works in pending:
                _wait(works)
        used = time.process_time() - began
        # The thread that feeds a GPU is busy with both at once.
        handed_over = max(0.0, used - float(computed.sum())) / items if self._place.on_cores else 0.0
        content = io.BytesIO()
        if order.results:
            torch.save({name: value.cpu() for name, value in values.items()}, content)
        return StageTimes(ended=ended, computed=computed, handed_over=handed_over, results=content.getvalue())

    def _receive(self) -> list[tuple[Any, Any]]:
        coming: dict[int, tuple[Any, Any]] = {}
        for i, one in self._received:
            tensor = torch.empty(one.shape, dtype=getattr(torch, one.dtype), device=self._place.device)
            coming[i] = tensor, distributed.irecv(tensor, one.peer, tag=one.tag)
        return [coming[i] for i in range(len(coming))]


def _wait(works: Sequence[Any]) -> None:
    for work in works:
        work.wait()


def _stream(order: Stream, rank: int, place: Place) -> Streamed:
    scratch = torch.zeros(SCRATCH_BYTES, dtype=torch.uint8)
    distributed.barrier()
    begun, used, computed = place.passed(), time.process_time(), 0.0
    pending: list[Any] = []
    for _ in range(order.items):
        tensor = torch.empty(order.nbytes, dtype=torch.uint8, device=place.device)
        pending.append(distributed.isend(tensor, 1) if rank == 0 else distributed.irecv(tensor, 0))
        since = time.thread_time()
        while order.pause and time.thread_time() < since + order.pause:
            scratch.add_(1)
        computed += time.thread_time() - since
        if len(pending) > AHEAD:
            pending.pop(0).wait()
    _wait(pending)
    passed, used = place.passed() - begun, time.process_time() - used - computed
    return Streamed(passed / order.items, max(0.0, used) / order.items)

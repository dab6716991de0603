"""What handing over one tensor costs beside its bytes: a tensor of four bytes, streamed between two processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection

import numpy as np

from framework.deploy.pipeline.channel import DEPTH, SPIN_SECONDS, Channel, Semaphore, attach, open_channel, take
from framework.errors import UserError
from framework.portfolio.processes.fork_server import without_main_module
from framework.signals import held

ITEMS, ROUNDS = 300, 9
_START_SECONDS, _PATIENCE = 300.0, 10.0
_TENSOR = "tensor"


def hand_over_seconds() -> float:
    """Measure how long one tiny tensor takes from a process to another, through a channel as between two stages.

    The sender does not wait for a tensor to arrive: it is up to `DEPTH` ahead, as a stage is. So the time from tensor
    to tensor is what each adds to the time of a stage. Other programs only add to it: the shortest round counts.

    Raises
    ------
    UserError
        If the other process does not start, or dies.
    """
    context = multiprocessing.get_context("spawn")
    channel, memory = open_channel(0, 1, [(_TENSOR, np.zeros(1, np.float32))], context)
    ours, theirs = context.Pipe()
    cores = sorted(os.sched_getaffinity(0))
    apart = len(cores) > 1
    process = context.Process(target=_receive, args=(channel, cores[1] if apart else None, theirs), daemon=True)
    try:
        with held(), without_main_module():
            process.start()
        theirs.close()
        if not ours.poll(_START_SECONDS):
            raise UserError("a process that receives tensors does not start")
        if apart:
            os.sched_setaffinity(0, cores[:1])
        return _send(channel, [views[_TENSOR] for views in channel.views(memory)], SPIN_SECONDS if apart else 0.0)
    finally:
        os.sched_setaffinity(0, cores)
        ours.close()
        process.kill()
        process.join()
        memory.close()
        memory.unlink()


def _send(channel: Channel, slots: list[np.ndarray[tuple[int, ...], np.dtype[np.float32]]], spin: float) -> float:
    seconds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for i in range(ITEMS):
            _take_free(channel.free, spin)
            slots[i % DEPTH][0] = i
            channel.filled.release()
        seconds.append((time.perf_counter() - started) / ITEMS)
    # The arrays would forbid to close the memory.
    slots.clear()
    return min(seconds)


def _take_free(free: Semaphore, spin: float) -> None:
    """Take a slot, as `take` does, but give up where the receiver has died."""
    deadline = time.perf_counter() + spin
    while not free.acquire(block=False):
        if time.perf_counter() >= deadline:
            if free.acquire(timeout=_PATIENCE):
                return
            raise UserError("the process that receives tensors has died")


def _receive(channel: Channel, core: int | None, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = os.getppid()
    if core is not None:
        os.sched_setaffinity(0, {core})
    memory = attach(channel)
    slots = [views[_TENSOR] for views in channel.views(memory)]
    pipe.send(None)
    received = 0.0
    for i in range(ROUNDS * ITEMS):
        take((channel.filled,), parent, SPIN_SECONDS if core is not None else 0.0)
        received += float(slots[i % DEPTH][0])
        channel.free.release()
    # As a stage ends: arrays over the shared memory would forbid to close it.
    os._exit(0)

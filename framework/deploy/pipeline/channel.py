"""A channel between two stages: a ring of slots in shared memory that tensors are written into and read out of.

The sender computes straight into a slot and the receiver straight out of it, so nothing is copied on the way. Two
semaphores count free and filled slots; both sides use slot ``i % depth`` for item ``i``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.shared_memory import SharedMemory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

DEPTH = 4
"""Slots of a channel: one being written, one being read, and two so that a stage that is late once holds up nobody."""

SPIN_SECONDS = 0.02
"""A stage that has a core to itself asks this long for its neighbours before it sleeps."""

_ALIGNMENT = 4096
_PATIENCE = 2.0


class Semaphore(Protocol):
    """What a channel needs of a semaphore."""

    def acquire(self, block: bool = True, timeout: float | None = None) -> bool:
        """Take one."""

    def release(self) -> None:
        """Give one."""


class OrphanedError(Exception):
    """The process that started this one has ended."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSlot:
    """Where a tensor lies in a slot."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel; picklable, so that both ends can be given to their processes.

    Attributes
    ----------
    sender, receiver
        Numbers of the stages.
    memory
        Name of the shared memory.
    slot_bytes
        Size of a slot.
    tensors
        What a slot holds.
    free, filled
        Semaphores that count slots.
    """

    sender: int
    receiver: int
    memory: str
    slot_bytes: int
    tensors: tuple[TensorSlot, ...]
    free: Semaphore
    filled: Semaphore

    def views(self, memory: SharedMemory) -> list[dict[str, NDArray[Any]]]:
        """Return for each slot an array for each of its tensors."""
        return [
            {
                tensor.name: np.ndarray(tensor.shape, tensor.dtype, memory.buf, slot * self.slot_bytes + tensor.offset)
                for tensor in self.tensors
            }
            for slot in range(DEPTH)
        ]


def open_channel(
    sender: int, receiver: int, tensors: Sequence[tuple[str, NDArray[Any]]], context: Any
) -> tuple[Channel, SharedMemory]:
    """Create a channel for tensors shaped like the given ones; the caller closes and unlinks the memory."""
    slots, end = [], 0
    for name, like in tensors:
        slots.append(TensorSlot(name=name, dtype=like.dtype, shape=like.shape, offset=end))
        end += -(-like.nbytes // _ALIGNMENT) * _ALIGNMENT
    memory = SharedMemory(create=True, size=max(_ALIGNMENT, DEPTH * end))
    channel = Channel(
        sender=sender,
        receiver=receiver,
        memory=memory.name,
        slot_bytes=end,
        tensors=tuple(slots),
        free=context.Semaphore(DEPTH),
        filled=context.Semaphore(0),
    )
    return channel, memory


def attach(channel: Channel) -> SharedMemory:
    """Open the memory of a channel in a stage's process; the process that made it removes it.

    A child of multiprocessing shares its parent's resource tracker, so attaching registers nothing new there.
    """
    return SharedMemory(channel.memory)


def take(semaphores: Iterable[Semaphore], parent: int, spin_seconds: float = 0.0) -> None:
    """Take one of each semaphore.

    Parameters
    ----------
    parent
        The process that started this one.
    spin_seconds
        How long to keep asking before going to sleep: waking up can take as long as a small stage does.

    Raises
    ------
    OrphanedError
        If the parent process ends meanwhile.
    """
    for semaphore in semaphores:
        deadline = time.perf_counter() + spin_seconds
        while not semaphore.acquire(block=False):
            if time.perf_counter() < deadline:
                continue
            while not semaphore.acquire(timeout=_PATIENCE):
                if os.getppid() != parent:
                    raise OrphanedError
            break

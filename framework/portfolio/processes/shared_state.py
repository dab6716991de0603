"""The interval and the best partition in memory that members read while the runner writes.

There is one writer (the runner) and no lock, so a member killed at any instant cannot block anyone. Scalars
are aligned 64-bit words; the partition is guarded by a version that is odd while it is being written.
"""

from __future__ import annotations

import ctypes
import multiprocessing
from typing import Any

import numpy as np

from framework.model.arrays import IntArray

_VERSION, _CANCEL, _DUAL, _INCUMBENT, _HEADER = 0, 1, 2, 3, 4
_UNKNOWN = -1


class SharedState:
    """One space's view of the run; sent to members when they are started.

    Parameters
    ----------
    nodes
        Number of nodes of the instance of that space.
    """

    def __init__(self, nodes: int) -> None:
        words = _HEADER + nodes
        self._raw: Any = multiprocessing.get_context("forkserver").RawArray(ctypes.c_int64, words)
        self._words[_DUAL] = self._words[_INCUMBENT] = _UNKNOWN

    @property
    def _words(self) -> IntArray:
        return np.frombuffer(self._raw, dtype=np.int64)

    @property
    def cancelled(self) -> bool:
        """Whether members should end."""
        return bool(self._words[_CANCEL])

    def cancel(self) -> None:
        """Ask all members to end."""
        self._words[_CANCEL] = 1

    @property
    def dual(self) -> int | None:
        """Best dual bound in ticks."""
        return _known(self._words[_DUAL])

    @property
    def incumbent(self) -> int | None:
        """Best incumbent value in ticks."""
        return _known(self._words[_INCUMBENT])

    def publish(self, dual: int | None, incumbent: int | None) -> None:
        """Write the interval (writer only)."""
        words = self._words
        words[_DUAL] = _UNKNOWN if dual is None else dual
        words[_INCUMBENT] = _UNKNOWN if incumbent is None else incumbent

    def publish_partition(self, stage_of: IntArray) -> None:
        """Write the best partition of this space (writer only)."""
        words = self._words
        words[_VERSION] += 1
        words[_HEADER:] = stage_of
        words[_VERSION] += 1

    def partition(self) -> IntArray | None:
        """Return the stage of each node, ``[nodes]``; None before the first, or while one is being written."""
        words = self._words
        for _ in range(100):
            before = int(words[_VERSION])
            stages = words[_HEADER:].copy()
            if before == int(words[_VERSION]) and before % 2 == 0:
                return stages if before else None
        return None


def _known(word: np.int64) -> int | None:
    value = int(word)
    return None if value == _UNKNOWN else value

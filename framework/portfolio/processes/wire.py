"""What a member sends to the runner, and how: length-prefixed pickles over a pipe that never blocks the runner."""

from __future__ import annotations

import os
import pickle
import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

from framework.bounds import Certificate, Soundness, Termination
from framework.model.arrays import IntArray
from framework.model.instance import Instance

_LENGTH = struct.Struct("!Q")
_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class DualReport:
    """A lower bound, in ticks."""

    value: int
    soundness: Soundness
    certificate: Certificate | None


@dataclass(frozen=True, slots=True, eq=False)
class PartitionReport:
    """A partition of the member's instance, ``[n]``."""

    stage_of: IntArray


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """A few words."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class ReducedReport:
    """The instance presolve arrived at."""

    instance: Instance
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndReport:
    """The member ended by itself."""

    termination: Termination
    details: dict[str, Any]
    peak_bytes: int


Report: TypeAlias = DualReport | PartitionReport | ProgressReport | ReducedReport | EndReport


def send(descriptor: int, report: Report) -> None:
    """Write one report; blocks while the pipe is full."""
    payload = pickle.dumps(report, protocol=pickle.HIGHEST_PROTOCOL)
    data = memoryview(_LENGTH.pack(len(payload)) + payload)
    while data:
        data = data[os.write(descriptor, data) :]


class Inbox:
    """The runner's end of one member's pipe; keeps partial reports until they are whole."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.closed = False
        self._buffer = bytearray()

    def receive(self) -> list[Report]:
        """Return all reports that are complete; sets `closed` when the other end is gone."""
        while not self.closed:
            try:
                data = os.read(self.descriptor, _CHUNK)
            except BlockingIOError:
                break
            if not data:
                self.closed = True
            self._buffer += data
            if len(data) < _CHUNK:
                break
        reports: list[Report] = []
        while len(self._buffer) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer)
            end = _LENGTH.size + length
            if len(self._buffer) < end:
                break
            reports.append(pickle.loads(bytes(self._buffer[_LENGTH.size : end])))
            del self._buffer[:end]
        return reports

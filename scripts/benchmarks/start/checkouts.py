"""One command in one or two checkouts of this project: its time and memory, those of all its processes included."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean

from figures import ROOT

PIPEBOUND = ["-m", "framework"]
BYTECODE = Path(tempfile.gettempdir()) / "pipebound-bytecode"
SAMPLING_SECONDS = 0.05
_SUBREAPER = 36
_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What a command took.

    Attributes
    ----------
    wall, cpu
        Seconds that a user waits; seconds of all processes of the command, those that outlive it included.
    peak, resident, processes
        MiB of all its processes at the moment at which they took most together: proportional sizes, in which a page
        that n processes share counts as an n-th for each, and resident ones, in which it counts wholly for each; how
        many processes there were then. 0 if memory was not sampled.
    """

    wall: float
    cpu: float
    peak: float
    resident: float
    processes: int


def versions(before: str) -> dict[str, Path]:
    """Return the checkouts to compare by what tables call them: this one, and another one before it if one is named."""
    named = {"before": Path(before).resolve()} if before else {}
    return {**named, "now": ROOT}


def run_in(version: Path, words: list[str], *, sample: bool = False) -> tuple[subprocess.CompletedProcess[str], Used]:
    """Run Python with the packages of a checkout; bytecode is kept from the first time on, as after an installation.

    Parameters
    ----------
    words
        What follows `python`, such as `PIPEBOUND` and a command; paths are absolute.
    sample
        Whether to look at the memory of its processes, twenty times a second.
    """
    # Whoever outlives the command is reaped here, so that the CPU time of all counts.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)
    environment = os.environ | {"PYTHONPATH": str(version), "PYTHONPYCACHEPREFIX": str(BYTECODE)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    command = [sys.executable, *words]
    peak = (0.0, 0.0, 0)
    # Whoever outlives the command may hold its output open: files do not wait for them, as pipes would.
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        before, started = _cpu_seconds(), time.monotonic()
        process = subprocess.Popen(command, env=environment, cwd=tempfile.gettempdir(), stdout=out, stderr=err)
        while sample and process.poll() is None:
            peak = max(peak, _memory(process.pid))
            time.sleep(SAMPLING_SECONDS)
        code = process.wait()
        wall = time.monotonic() - started
        _reap()
        out.seek(0)
        err.seek(0)
        done = subprocess.CompletedProcess(command, code, out.read(), err.read())
    used = Used(wall=wall, cpu=_cpu_seconds() - before, peak=peak[0], resident=peak[1], processes=peak[2])
    return done, used


def now_over_before(rows: list[tuple[float, ...]]) -> str:
    """Return the geometric mean of the last over the first figure of each row; empty where there is one a row."""
    shares = [row[-1] / row[0] for row in rows if len(row) > 1 and row[0] > 0]
    return f"{geometric_mean(shares):.3f}" if shares else ""


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _reap() -> None:
    """Wait for all that the command left behind."""
    while True:
        try:
            os.wait()
        except ChildProcessError:
            return


def _memory(root: int) -> tuple[float, float, int]:
    """Return proportional and resident MiB of a process and all that descend from it, and their number."""
    found = [sizes for pid in _tree(root) if (sizes := _sizes(pid))]
    return sum(one["Pss"] for one in found) / _MIB, sum(one["Rss"] for one in found) / _MIB, len(found)


def _tree(root: int) -> Iterator[int]:
    tree = [root]
    for pid in tree:
        yield pid
        try:
            for task in Path(f"/proc/{pid}/task").iterdir():
                tree += map(int, (task / "children").read_text().split())
        except OSError:
            continue


def _sizes(pid: int) -> dict[str, int]:
    """Return the sizes of a process in bytes; nothing if it has ended."""
    try:
        rows = [line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]]
    except OSError:
        return {}
    return {row[0].rstrip(":"): int(row[1]) << 10 for row in rows}

"""Limits and targets of one run."""

from __future__ import annotations

import os
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """Limits and targets of one run.

    Attributes
    ----------
    started, budget
        When the run began, on the clock of `time.monotonic`, and how many seconds it may take from then.
    gap
        Relative gap at which to stop.
    seed
        Seed of every member.
    workers
        Members that may run at a time.
    memory_bytes
        Memory of each member; None for a fair share of the machine.
    presolve
        Whether to reduce the instance first.
    plugin_files
        Files with entries and portfolios, loaded by every member.
    cutoff
        A dual bound, in ticks, at which to stop.
    """

    started: float
    budget: float
    gap: float = 0.0
    seed: int = 0
    workers: int = field(default_factory=lambda: os.cpu_count() or 1)
    memory_bytes: int | None = None
    presolve: bool = True
    plugin_files: tuple[str, ...] = ()
    cutoff: int | None = None


def default_memory_bytes(workers: int) -> int:
    """Return a fair share of four fifths of the machine's memory."""
    return int(0.8 * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / max(1, workers))

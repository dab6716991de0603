"""Processes that are connected by `torch.distributed`, one for each stage, and what they can be asked to do.

The connection is made through a file, on the loopback interface: no port has to be free, and no network is needed.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.deploy.pipeline.processes import Processes
from framework.deploy.torch.placement import Backend
from framework.deploy.torch.stage_process import Order, Seat, serve
from framework.registry import loaded_files

START_SECONDS, STALL_SECONDS = 300.0, 120.0


@dataclass(slots=True)
class World(Processes):
    """So many processes; close it after use.

    Parameters
    ----------
    size
        Number of processes.
    where
        What they work for, for errors.
    affinity
        Whether each has a core of its own, where there are enough.
    backend
        What connects them.
    """

    size: int
    where: str
    affinity: bool = True
    backend: Backend = Backend.GLOO
    _folder: tempfile.TemporaryDirectory[str] | None = None

    def ask(self, orders: list[Order], patience: float = STALL_SECONDS) -> list[Any]:
        """Give each process an order, and return their answers; those beyond the last order have nothing to do.

        Raises
        ------
        UserError
            If a process fails, ends, or does not answer in time.
        """
        return self._ask(orders, patience)

    def close(self) -> None:
        """End all processes."""
        Processes.close(self)
        if self._folder is not None:
            self._folder.cleanup()
        self._folder = None

    def _start(self) -> None:
        # Not fork: torch may have started threads.
        context = multiprocessing.get_context("spawn")
        self._folder = tempfile.TemporaryDirectory(prefix="pipebound-")
        cores = sorted(os.sched_getaffinity(0))
        # The thread that feeds a GPU needs no core of its own.
        own = self.affinity and self.size <= len(cores) and self.backend is Backend.GLOO
        meeting = str(Path(self._folder.name) / "meeting")
        for rank in range(self.size):
            core = cores[rank] if own else None
            seat = Seat(rank=rank, size=self.size, meeting=meeting, backend=self.backend, core=core)
            self._launch(context, serve, seat, loaded_files())
        self._gather(self.size, START_SECONDS)

    def _where(self, position: int | None = None) -> str:
        return self.where if position is None else f"{self.where}, stage {position}"

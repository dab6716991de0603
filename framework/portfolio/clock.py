"""The clock of a run: it stands while kernels are compiled, which no budget pays for."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass(slots=True)
class RunClock:
    """Seconds since a run began, less those that it stood.

    Parameters
    ----------
    started, budget
        When the run began, on the clock of `time.monotonic`, and how many seconds it may take.
    """

    started: float
    budget: float
    _since: float | None = field(init=False, default=None)
    _stood: float = field(init=False, default=0.0)

    def __call__(self) -> float:
        """Return the seconds on this clock."""
        now = time.monotonic() if self._since is None else self._since
        return now - self.started - self._stood

    @property
    def deadline(self) -> float:
        """When the budget ends, on the clock of `time.monotonic`."""
        return self.started + self.budget + self._stood

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Let it stand meanwhile."""
        self._since = time.monotonic()
        try:
            yield
        finally:
            self._stood += time.monotonic() - self._since
            self._since = None

"""A context with a shorter deadline, for strategies that drive other entries."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from framework.bounds import Certificate, Soundness
from framework.contracts import Context
from framework.model.problem import Partition


@dataclass(slots=True)
class ChildContext:
    """Everything of the parent but the deadline; reports go to the parent.

    Parameters
    ----------
    parent
        The context of the strategy.
    seconds
        Time limit from now on; the parent's deadline holds as well.
    give_up
        Asked with `should_stop`; for conditions of the strategy's own.
    """

    parent: Context
    seconds: float
    give_up: Callable[[], bool] = lambda: False
    _started: float = field(default_factory=time.monotonic)

    @property
    def seed(self) -> int:
        """The parent's seed."""
        return self.parent.seed

    @property
    def threads(self) -> int:
        """The parent's threads."""
        return self.parent.threads

    @property
    def dual(self) -> int | None:
        """Best dual bound known to the parent, in ticks."""
        return self.parent.dual

    @property
    def incumbent(self) -> int | None:
        """Best incumbent known to the parent, in ticks."""
        return self.parent.incumbent

    def best_partition(self) -> Partition | None:
        """Return the parent's best partition."""
        return self.parent.best_partition()

    def remaining(self) -> float:
        """Return the seconds left of the shorter of both limits."""
        return max(0.0, min(self.parent.remaining(), self.seconds - (time.monotonic() - self._started)))

    def should_stop(self) -> bool:
        """Whether the parent stops, this limit has passed, or the strategy gives up."""
        return self.remaining() <= 0 or self.give_up() or self.parent.should_stop()

    def report_dual(self, value: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        """Report a lower bound to the parent."""
        self.parent.report_dual(value, soundness, certificate)

    def report_partition(self, partition: Partition) -> None:
        """Report a partition to the parent."""
        self.parent.report_partition(partition)

    def progress(self, message: str) -> None:
        """Pass a message on."""
        self.parent.progress(message)

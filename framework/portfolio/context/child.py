"""A context with a shorter deadline, for strategies that drive other entries."""

from __future__ import annotations

import time
from collections.abc import Callable

from framework.contracts import Context
from framework.portfolio.context.delegating import DelegatingContext


class ChildContext(DelegatingContext):
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

    __slots__ = ("give_up", "seconds", "started")

    def __init__(self, parent: Context, seconds: float, give_up: Callable[[], bool] = lambda: False) -> None:
        super().__init__(parent)
        self.seconds, self.give_up, self.started = seconds, give_up, time.monotonic()

    def remaining(self) -> float:
        """Return the seconds left of the shorter of both limits."""
        return max(0.0, min(self.parent.remaining(), self.seconds - (time.monotonic() - self.started)))

    def should_stop(self) -> bool:
        """Whether the parent stops, this limit has passed, or the strategy gives up."""
        return self.remaining() <= 0 or self.give_up() or self.parent.should_stop()

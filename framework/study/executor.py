"""What executes tasks; the study loop knows nothing else about them."""

from __future__ import annotations

from typing import Protocol

from framework.study.task import Finished, Task


class Executor(Protocol):
    """Takes tasks while it has room, and returns each exactly once."""

    @property
    def room(self) -> int:
        """How many more tasks it wants now."""

    @property
    def description(self) -> str:
        """What it is, in a few words."""

    def submit(self, task: Task) -> None:
        """Start a task or keep it for the next free worker."""

    def wait(self, timeout: float) -> list[Finished]:
        """Return what has finished, after at most `timeout` seconds."""

    def close(self) -> None:
        """End everything that still runs, at once."""

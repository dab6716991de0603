"""A context that hands every call on to a parent context; subclasses change what they need to."""

from __future__ import annotations

from framework.bounds import Certificate, Soundness
from framework.contracts import Context
from framework.model.problem import Partition


class DelegatingContext:
    """Everything of the parent; a subclass overrides what differs.

    Parameters
    ----------
    parent
        The context of whoever drives the other entry.
    """

    __slots__ = ("parent",)

    def __init__(self, parent: Context) -> None:
        self.parent = parent

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
        """Return the parent's seconds left."""
        return self.parent.remaining()

    def should_stop(self) -> bool:
        """Whether the parent stops."""
        return self.parent.should_stop()

    def report_dual(self, value: int, soundness: Soundness, certificate: Certificate | None = None) -> None:
        """Report a lower bound in ticks to the parent."""
        self.parent.report_dual(value, soundness, certificate)

    def report_partition(self, partition: Partition) -> None:
        """Report a partition to the parent."""
        self.parent.report_partition(partition)

    def progress(self, message: str) -> None:
        """Pass a message on."""
        self.parent.progress(message)

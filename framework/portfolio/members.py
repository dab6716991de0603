"""What a portfolio is made of: members, and the protocol a registered portfolio fulfils."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from framework.model.problem import Problem

Space = Literal["reduced", "original"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry with its place in a portfolio.

    Attributes
    ----------
    entry
        An entry spec, ``name:param=value``.
    name
        Unique within the portfolio, and the source its bounds carry; the entry spec when empty.
    after
        Names of members that must have ended before this one starts.
    share
        Share of the whole budget this member may use at most.
    min_gap, max_gap
        Relative gaps of the run with which it starts; with others it is left out.
    space
        Whether it works on the instance that exact reductions left, or on the original one.
    threads
        Threads it may use; it occupies as many workers.
    """

    entry: str
    name: str = ""
    after: tuple[str, ...] = ()
    share: float = 1.0
    min_gap: float = 0.0
    max_gap: float = 1.0
    space: Space = "reduced"
    threads: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError("share must be in (0, 1]")
        if not 0 <= self.min_gap <= self.max_gap <= 1:
            raise ValueError("gaps must be from 0 to 1, and min_gap at most max_gap")
        if self.threads < 1:
            raise ValueError("threads must be at least 1")

    @property
    def label(self) -> str:
        """The name, or the entry spec where no name is given."""
        return self.name or self.entry

    def suits(self, gap: float | None) -> bool:
        """Whether it starts with a relative gap; None, as long as no partition is known, is the widest."""
        return self.min_gap <= (1.0 if gap is None else gap) <= self.max_gap


@runtime_checkable
class Portfolio(Protocol):
    """A registered choice of members for a problem."""

    def members(self, problem: Problem, workers: int) -> tuple[Member, ...]:
        """Return the members in the order in which they should start.

        Parameters
        ----------
        problem
            The original problem (before presolve).
        workers
            Number of processes that may run at a time.
        """

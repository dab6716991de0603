"""What a portfolio is made of: members, how each fared, and the protocol a registered portfolio fulfils."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from framework.bounds import Termination
from framework.model.instance import Instance
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
    inline
        Whether it runs in the process of the run, before all others: for entries that take milliseconds and load no
        kernels. Nothing ends it but its own look at the clock. Small instances are reduced by then, others are not.
    """

    entry: str
    name: str = ""
    after: tuple[str, ...] = ()
    share: float = 1.0
    min_gap: float = 0.0
    max_gap: float = 1.0
    space: Space = "reduced"
    threads: int = 1
    inline: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError("share must be in (0, 1]")
        if not 0 <= self.min_gap <= self.max_gap <= 1:
            raise ValueError("gaps must be from 0 to 1, and min_gap at most max_gap")
        if self.threads < 1:
            raise ValueError("threads must be at least 1")
        if self.inline and self.after:
            raise ValueError("a member that runs inline waits for no other")

    @property
    def label(self) -> str:
        """The name, or the entry spec where no name is given."""
        return self.name or self.entry

    def suits(self, gap: float | None) -> bool:
        """Whether it starts with a relative gap; None, as long as no partition is known, is the widest."""
        return self.min_gap <= (1.0 if gap is None else gap) <= self.max_gap


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberReport:
    """How one member fared."""

    name: str
    entry: str
    seconds: float
    termination: Termination
    details: dict[str, Any]
    peak_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """What a run leaves behind beside its board."""

    termination: Termination
    members: tuple[MemberReport, ...]
    seconds: float
    reduced: Instance | None


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

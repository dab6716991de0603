"""Step rules of destructive bounds: which threshold between dual bound and incumbent is tried next.

A rule chooses thresholds and learns from the answers; it proves nothing. What is asked, and what an answer proves, is
the business of `framework.portfolio.context.destructive_bound`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from framework.bounds import Limit, Reason, Termination
from framework.contracts import Decision, Refuted, Undecided

AS_GOOD_AS_OPTIMAL = 9e-5
"""Distance from the incumbent of the highest threshold that is worth deciding, relative to the incumbent."""

FINISHED = Termination(reason=Reason.FINISHED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The thresholds worth trying: from `lower` up to, and without, `ceiling`; all in ticks.

    Attributes
    ----------
    lower
        Best dual bound known to anyone.
    ceiling
        The bottleneck of the best partition, or the lowest threshold from which on this run refutes nothing.
    value
        Bottleneck of the best partition known to anyone.
    """

    lower: int
    ceiling: int
    value: int


class StepRule(Protocol):
    """Chooses thresholds."""

    def next(self, span: Span) -> int | Termination:
        """Return the next threshold in a span that is not empty, or why there is none."""

    def note(self, threshold: int, answer: Decision, span: Span) -> None:
        """Learn from an answer; `span` is what it has left."""


@dataclass(slots=True, kw_only=True)
class EffortSteps:
    """Smaller steps after failures, and then more effort.

    Attributes
    ----------
    step, smallest
        Share of the interval by which the threshold lies above the dual bound. It is halved after a failure; a failure
        with less than the smallest, or at the dual bound itself, needs more effort.
    restart
        Share with which more effort begins.
    effort, most
        Effort of a try, and the most it may take; it grows fourfold.
    least
        Effort after the first growth, at least.
    """

    step: float
    smallest: float
    restart: float
    effort: int
    most: int
    least: int = 1
    _ended: Termination | None = None

    def next(self, span: Span) -> int | Termination:
        """Return the threshold at the current share of the interval."""
        if self._ended is not None:
            return self._ended
        return min(span.ceiling - 1, span.lower + int(self.step * (span.ceiling - span.lower)))

    def note(self, threshold: int, answer: Decision, span: Span) -> None:
        """Take smaller steps, or more effort, after a failure that says nothing of higher thresholds."""
        if isinstance(answer, Undecided) and not answer.above and not self._after_failure(threshold == span.lower):
            self._ended = Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS, detail=answer.reason)

    def _after_failure(self, at_lower: bool) -> bool:
        """Take a smaller step or, where a threshold at the dual bound failed or steps are small, more effort.

        Returns
        -------
        bool
            False if neither is left.
        """
        if not at_lower and self.step >= self.smallest:
            self.step /= 2
        elif self.effort >= self.most:
            return False
        else:
            self.effort, self.step = min(self.most, max(self.least, 4 * self.effort)), self.restart
        return True


@dataclass(slots=True, kw_only=True)
class StepsFromAbove:
    """A first threshold close below the incumbent, lowered until one is refuted; from there, steps of a given size.

    For methods to which low thresholds are nearly as dear as high ones, so that nothing is gained by climbing from far
    below.

    Attributes
    ----------
    first, descent
        The first threshold, and by how much it is lowered after a failure; as shares of the incumbent's bottleneck.
    step, smallest
        Share of the incumbent's bottleneck by which the threshold lies above the dual bound once one has been refuted.
        It is halved after a failure, down to the smallest; below that, only the dual bound itself is tried.
    resolution
        It ends where all but this share of the incumbent's bottleneck is decided, as far as the method reaches.
    effort, most
        Effort of a try, and the most it may take; it is doubled after a failure on the way up.
    climbs
        Whether a threshold has been refuted, or none is left to lower it to.
    """

    first: float
    descent: float
    step: float
    smallest: float
    resolution: float
    effort: int
    most: int
    climbs: bool = False
    _target: int | None = None
    _ended: Termination | None = None

    def next(self, span: Span) -> int | Termination:
        """Return the threshold of the descent, or the one a step above the dual bound."""
        width, reached = span.ceiling - span.lower, span.ceiling < span.value
        if self._ended is not None:
            return self._ended
        if reached and width <= self.resolution * span.value:
            return FINISHED
        if not self.climbs:
            target = int(self.first * span.value) if self._target is None else self._target
            if target > span.lower:
                return min(span.ceiling - 1, target)
            self.climbs = True
        up = int(self.step * span.value)
        return span.lower + min(up, width // 2 if reached else width - 1)

    def note(self, threshold: int, answer: Decision, span: Span) -> None:
        """Lower the threshold until one is refuted; then take smaller steps, and more effort, after a failure."""
        if not isinstance(answer, Undecided):
            self.climbs = True
        elif not self.climbs:
            self._target = threshold - max(1, int(self.descent * span.value))
        elif answer.above:
            self.step = max(self.smallest, self.step / 2)
        elif self.effort < self.most:
            self.step, self.effort = max(self.smallest, self.step / 2), min(self.most, 2 * self.effort)
        elif threshold == span.lower:
            self._ended = Termination(reason=Reason.LIMIT, limit=Limit.ITERATIONS, detail=answer.reason)
        else:
            self.step = self.step / 2 if self.step > self.smallest else 0.0


@dataclass(slots=True, kw_only=True)
class ShrinkingSteps:
    """Half of the way to the incumbent, a quarter of that from each failure on; for tests that may leave gaps.

    Attributes
    ----------
    resolution
        Relative gap below which another decision is not worth it.
    patience
        Failures in a row after which it ends.
    """

    resolution: float
    patience: int
    _part: int = 2
    _failures: int = 0

    def next(self, span: Span) -> int | Termination:
        """Return the threshold at the current share of the interval."""
        if self._failures >= self.patience or span.value - span.lower <= self.resolution * span.value:
            return FINISHED
        return span.lower + (span.ceiling - 1 - span.lower) // self._part

    def note(self, threshold: int, answer: Decision, span: Span) -> None:
        """Count failures in a row."""
        if isinstance(answer, Undecided):
            self._failures += 1
            self._part *= 4
        else:
            self._failures = 0


@dataclass(slots=True, kw_only=True)
class SectionSteps:
    """A fixed share of what is left, for methods that refute nothing above a threshold that they do not refute.

    Attributes
    ----------
    part
        The threshold is one part in so many above the dual bound.
    from_top
        Whether the highest threshold is tried first.
    resolution
        Width at which it ends, relative to the ceiling.
    least
        Width at which it ends, in ticks.
    most
        Thresholds to try at most; None for any number.
    """

    part: int
    from_top: bool = False
    resolution: float = 0.0
    least: int = 0
    most: int | None = None
    _tried: int = 0

    def next(self, span: Span) -> int | Termination:
        """Return the threshold at the share, or the highest one."""
        width = span.ceiling - span.lower
        if width <= max(self.least, self.resolution * span.ceiling) or self._tried == self.most:
            return FINISHED
        if self.from_top and not self._tried:
            return span.ceiling - 1
        return span.lower + width // self.part

    def note(self, threshold: int, answer: Decision, span: Span) -> None:
        """Count what was tried."""
        self._tried += 1


@dataclass(slots=True, kw_only=True)
class GallopSteps:
    """Doubling steps upwards from the dual bound; after a failure quartered ones, and at most half of what is left.

    Low thresholds are cheap to refute, and those near the limit of a method dear: nothing is tried from one on that was
    not refuted, whatever the reason. Once, while the gap is small, it leaps to a threshold that would prove the
    incumbent as good as optimal.

    Attributes
    ----------
    first_step
        Step after the dual bound itself has been refuted, relative to it.
    leap, leap_within
        Distance from the incumbent of the leap, and the gap within which it is tried; both relative to the incumbent.
    tolerance, fineness
        It ends at a width of `tolerance`, relative to the ceiling, or of `fineness`, in units of the gap, if that is
        less, and if the ceiling is below the incumbent.
    impatient
        Asked after a failure while next to nothing is gained: whether to end.
    """

    first_step: float
    leap: float
    leap_within: float
    tolerance: float
    fineness: float
    impatient: Callable[[], bool] = lambda: False
    _step: int = 0
    _from: int | None = None
    _target: int = 0
    _leaping: bool = False
    _failed: int | None = None
    _ended: bool = False

    def next(self, span: Span) -> int | Termination:
        """Return the threshold one step above the dual bound, or that of the leap."""
        if self._from is None:
            self._from, self._target = span.lower, int(span.value * (1 - self.leap))
        ceiling = span.ceiling if self._failed is None else min(span.ceiling, self._failed)
        gap, width = span.value - span.lower, ceiling - span.lower
        fine = width <= min(self.tolerance * ceiling, self.fineness * gap)
        if self._ended or width <= 0 or (ceiling != span.value and fine):
            return FINISHED
        near = gap < self.leap_within * span.value
        self._leaping = self._step > 0 and near and span.lower < self._target < ceiling
        step = self._step if self._failed is None else min(self._step, width // 2)
        return self._target if self._leaping else min(span.lower + step, ceiling - 1)

    def note(self, threshold: int, answer: Decision, span: Span) -> None:
        """Double the step, quarter it, or end where even the dual bound is not refuted."""
        if self._leaping:
            self._target = 0
        if isinstance(answer, Refuted):
            self._step = max(2 * self._step, int((threshold + 1) * self.first_step), 1)
        elif not self._leaping:
            assert self._from is not None
            if not self._step or (span.lower <= self._from + 1 and self.impatient()):
                self._ended = True
            self._failed, self._step = threshold, max(0, threshold - span.lower) // 4


@dataclass(slots=True)
class Band:
    """Thresholds that stayed undecided, between those that are refuted and the incumbent."""

    undecided: list[int] = field(default_factory=list)

    def prune(self, span: Span) -> None:
        """Forget those that are decided by now."""
        self.undecided = [threshold for threshold in self.undecided if span.lower <= threshold < span.value]

    def __bool__(self) -> bool:
        return bool(self.undecided)

    @property
    def lowest(self) -> int:
        """Its lower end."""
        return min(self.undecided)

    @property
    def highest(self) -> int:
        """Its upper end."""
        return max(self.undecided)


@dataclass(slots=True, kw_only=True)
class BandSteps:
    """Bisection that narrows a band of undecided thresholds from both ends.

    Attributes
    ----------
    band
        Of this and earlier sweeps; who decides appends to it.
    at_top
        Whether the highest threshold comes first: the incumbent is optimal more often than not, and one refutation
        right below it ends everything.
    smallest
        Share of the way from the dual bound to the band below which no threshold is tried.
    tries_above
        Undecided thresholds above the band before the same is said of the other end.
    """

    band: Band
    at_top: bool
    smallest: float
    tries_above: int
    _step: float = 1.0
    _failures_above: int = 0
    _above: bool = False

    def next(self, span: Span) -> int | Termination:
        """Choose a threshold outside the band."""
        self.band.prune(span)
        low, high = span.lower, highest_worth_deciding(span)
        self._above = False
        if not self.band:
            threshold = high if self.at_top else low + (high - low) // 2
            self.at_top = False
            return threshold
        if low < self.band.lowest and self._step >= self.smallest:
            return low + int(self._step * (self.band.lowest - low) / 2)
        top = self.band.highest
        if top < high and self._failures_above < self.tries_above:
            self._above = True
            return top + 1 + (high - top - 1) // 2
        return FINISHED

    def note(self, threshold: int, answer: Decision, span: Span) -> None:
        """Take smaller steps below the band after a failure there, larger ones after a refutation."""
        if isinstance(answer, Refuted):
            self._step = min(1.0, 2 * self._step)
        elif isinstance(answer, Undecided):
            if self._above:
                self._failures_above += 1
            else:
                self._step /= 4


def highest_worth_deciding(span: Span) -> int:
    """Return the highest threshold worth deciding: what refutes it proves the incumbent as good as optimal."""
    high = int(span.value * (1 - AS_GOOD_AS_OPTIMAL))
    return high if high >= span.lower else span.value - 1

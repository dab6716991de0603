"""Records only ever get better: a pair takes from an offer what is better than what it has, and says what that was."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from framework.errors import UserError
from framework.records.offers import Offer
from framework.records.pair import BestPartition, PairRecord, ProvedBound, strongest


class ContradictionError(UserError):
    """A dual bound exceeds a partition: one of the two is wrong, and nothing is written before somebody knows which."""


class Before(NamedTuple):
    """A value before and after a change; `before` is None where there was none."""

    before: int | None
    after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a pair took from an offer.

    Attributes
    ----------
    pair
        The record as it is now.
    partition, bound
        The bottleneck and the best dual bound in ticks, where they changed.
    evidence
        What the best dual bound rests on now, where that changed and the bound did not.
    """

    pair: PairRecord
    partition: Before | None = None
    bound: Before | None = None
    evidence: str = ""

    @property
    def is_better(self) -> bool:
        """Whether anything was better."""
        return bool(self.partition or self.bound or self.evidence)


def improved(pair: PairRecord, offer: Offer) -> Change:
    """Return a pair with what an offer has that is better.

    Raises
    ------
    ContradictionError
        If a dual bound would exceed the partition.
    """
    change = _taken(pair, offer.best, offer.bounds)
    kept = replace(change.pair, longest=max(pair.longest, offer.budget), spent=pair.spent + offer.seconds)
    return replace(change, pair=kept)


def united(pair: PairRecord, other: PairRecord) -> Change:
    """Return a pair with what another record of the same pair has that is better, as `improved` does."""
    change = _taken(pair, other.best, other.bounds)
    kept = replace(change.pair, longest=max(pair.longest, other.longest), spent=max(pair.spent, other.spent))
    return replace(change, pair=kept)


def _taken(pair: PairRecord, best: BestPartition | None, bounds: tuple[ProvedBound, ...]) -> Change:
    partition = bound = None
    kept, evidence = pair.best, ""
    if best is not None and (kept is None or best.ticks < kept.ticks):
        partition, kept = Before(None if kept is None else kept.ticks, best.ticks), best
    after = strongest([*pair.bounds, *bounds])
    if after and not pair.bounds:
        bound = Before(None, after[0].ticks)
    elif after and after[0].ticks > pair.bounds[0].ticks:
        bound = Before(pair.bounds[0].ticks, after[0].ticks)
    elif after and after[0].strength > pair.bounds[0].strength:
        evidence = after[0].words
    if kept is not None and after and after[0].ticks > kept.ticks:
        top = after[0]
        raise ContradictionError(
            f"the dual bound {top.ticks} of {top.origin.source} ({top.words}) exceeds the partition of {kept.ticks} of "
            f"{kept.origin.source} in {pair.stages} stages",
            hint="one of the two is wrong, which is a bug: please report both files",
        )
    return Change(pair=replace(pair, best=kept, bounds=after), partition=partition, bound=bound, evidence=evidence)

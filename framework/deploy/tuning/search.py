"""The loop of `refine`: measure, correct the costs, solve again; in the end a race decides, not the model.

* The given split and the naive ones are measured in turns. Then, round by round, the costs are fitted to all that was
  measured, and the optimum of the corrected costs is measured in turns with the best split so far.
* If that optimum was measured before, the model has nothing to say against it, but may be wrong about nodes that no
  split told apart. Any better split takes something out of the slowest stage of the best one, so the nodes of that
  stage are made dearer by a little, then by more, until another split is best; if none is, or the rounds are used up,
  the search ends. Without noise, on a chain and two stages, and with costs that are wrong by less than the largest
  addition, this ends at the true optimum: times only grow with the nodes of a stage, so if the next cut towards the
  slowest stage is worse, the other stage has become the slowest, and every cut beyond is worse still.
* The best few run a last race, in turns. Medians of few rounds lie: the fastest of many equal splits is fast by luck. A
  split therefore wins against the best naive one only if a sign test over the rounds, which they ran side by side,
  says that it is faster (one-sided, 5%). Otherwise the naive one wins, and "as good as the best naive split" is true by
  construction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from framework.deploy.tuning.correction import Correction, Observation, Timing, fit
from framework.deploy.tuning.solved import Solved
from framework.model.arrays import IntArray
from framework.model.graph import FloatArray

GIVEN = "given split"
EXPLORING = 6
"""Measured batches of each split in a turn; even, since two stages change cores with every batch."""

TILTS = (0.01, 0.02, 0.04, 0.08, 0.16)
"""By how much the slowest stage is made dearer to find another split."""

MARGIN = 0.05
"""Splits that were slower than the best one by more than this are not in the last race."""

FINALISTS = 5
SIGNIFICANCE = 0.05
FEWEST_ROUNDS = 5
"""Fewer rounds cannot be significant, however they end."""

Propose = Callable[[Solved], "IntArray | None"]
"""The best partition of a problem that could be found; None if there is none."""


class Bench(Protocol):
    """What measures splits."""

    def measure(
        self, partitions: Mapping[str, IntArray], rounds: int, *, last: bool = False
    ) -> Mapping[str, Timing | str]:
        """Return what each split took in turns with the others, or why it cannot be run.

        What was interrupted before its first round is left out. There may be fewer rounds where time is short; after
        the `last` measurement nothing follows that needs any.
        """

    def stopped(self) -> bool:
        """Whether to end now."""

    def hurried(self) -> bool:
        """Whether what is left of the time is needed for the last race."""


@dataclass(slots=True, kw_only=True, eq=False)
class Candidate:
    """A split in the race.

    Attributes
    ----------
    name
        `GIVEN`, the name of a naive split, or the round that proposed it.
    aliases
        Names of naive splits that are the same to the cost model, and were not measured apart.
    naive
        Whether it is a naive split, or the same as one.
    allowed
        Whether it obeys what the user fixed; it cannot win otherwise.
    predicted, corrected
        Bottleneck in seconds by the costs that were solved, and by the corrected ones.
    timing
        What it took in the last turn it was in; None before.
    relative
        Its period over that of the first split measured, along turns that share a split: moods cancel.
    finalist
        Whether it was in the last race.
    failure
        Why it cannot be run; empty if it can.
    """

    name: str
    stage_of: IntArray
    naive: bool
    allowed: bool
    predicted: float
    corrected: float = math.nan
    aliases: list[str] = field(default_factory=list)
    timing: Timing | None = None
    relative: float = math.inf
    finalist: bool = False
    failure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outcome:
    """What a search found.

    Attributes
    ----------
    winner
        None if no split could be measured.
    why
        Why it won.
    correction
        Fitted to everything measured.
    converged
        Whether the corrected costs had nothing more to try.
    raced
        Whether the last race has decided.
    """

    candidates: tuple[Candidate, ...]
    winner: Candidate | None
    why: str
    correction: Correction
    solves: int
    converged: bool
    raced: bool

    @property
    def best_naive(self) -> Candidate | None:
        """The naive split that measured fastest, whether or not it obeys what the user fixed."""
        return min((c for c in self.candidates if c.naive and c.timing), key=lambda c: c.relative, default=None)


def search(
    problem: Solved,
    given: IntArray,
    naive: Mapping[str, IntArray],
    bench: Bench,
    propose: Propose,
    *,
    rounds: int,
    race_rounds: int,
    say: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """Search for the split with the shortest measured period.

    Parameters
    ----------
    problem
        What was solved.
    given
        ``[n]`` stage of each node in the split to start from.
    naive
        Splits that the winner must not be slower than.
    rounds
        How often the corrected costs are solved at most, leaning counted once.
    race_rounds
        Measured batches of each split in the last race, at least `FEWEST_ROUNDS`.
    """
    if race_rounds < FEWEST_ROUNDS:
        raise ValueError(f"a last race of {race_rounds} rounds can prove nothing")
    return _Search(problem, bench, propose, say).run(given, naive, rounds, race_rounds)


def faster_by_sign_test(ours: FloatArray, theirs: FloatArray) -> bool:
    """Whether periods of rounds run side by side, ``[rounds]`` each, are shorter; equal ones speak against it."""
    n, wins = len(ours), int((ours < theirs).sum())
    as_many_by_chance = sum(math.comb(n, i) for i in range(wins, n + 1)) / 2.0**n
    return as_many_by_chance <= SIGNIFICANCE


def decide(racers: Sequence[Candidate]) -> tuple[Candidate, str]:
    """Return the winner among splits that ran in turns, all allowed, and why it won."""
    best = min(racers, key=_period)
    naive = min((c for c in racers if c.naive), key=_period, default=None)
    if naive is None or best is naive:
        return best, f"the shortest median period of {len(racers)}"
    ours, theirs = _periods(best), _periods(naive)
    wins = f"{int((ours < theirs).sum())} of {len(ours)} rounds"
    if faster_by_sign_test(ours, theirs):
        return best, f"faster than {naive.name} in {wins}"
    return naive, f"{best.name} was faster in {wins}, which chance explains; ties go to the naive split"


class _Search:
    def __init__(self, problem: Solved, bench: Bench, propose: Propose, say: Callable[[str], None]) -> None:
        self._problem, self._bench, self._propose, self._say = problem, bench, propose, say
        self._work = problem.work()
        self._candidates: dict[bytes, Candidate] = {}
        self._observations: list[Observation] = []
        self._turns = 0

    def run(self, given: IntArray, naive: Mapping[str, IntArray], rounds: int, race_rounds: int) -> Outcome:
        self._add(GIVEN, given)
        for name, stage_of in naive.items():
            self._add(name, stage_of, naive=True)
        self._measure([*self._candidates.values()], EXPLORING)
        solves, converged = 0, False
        while solves < rounds and self._ranked() and not self._bench.stopped() and not self._bench.hurried():
            solves += 1
            self._say(f"solving with corrected costs, round {solves} of {rounds}")
            found = self._next()
            if self._bench.stopped():
                break
            if found is None:
                converged = not self._bench.hurried()
                break
            candidate = self._add(f"round {solves}", found)
            self._measure([self._ranked()[0], candidate], EXPLORING)
        finalists = self._finalists()
        raced = False
        if len(finalists) > 1 and not self._bench.stopped():
            self._say("the last race")
            for candidate in finalists:
                candidate.finalist = True
            raced = self._measure(finalists, race_rounds, last=True) and not self._bench.stopped()
        winner, why = self._winner(finalists, raced)
        correction = fit(self._work, self._observations)
        corrected = self._problem.corrected(correction)
        for candidate in self._candidates.values():
            candidate.corrected = corrected.bottleneck(candidate.stage_of)
        return Outcome(
            candidates=tuple(self._candidates.values()),
            winner=winner,
            why=why,
            correction=correction,
            solves=solves,
            converged=converged,
            raced=raced,
        )

    def _key(self, stage_of: IntArray) -> bytes:
        """Splits that differ in nodes without work are the same split: they cost the same."""
        return stage_of[self._work > 0].tobytes()

    def _add(self, name: str, stage_of: IntArray, *, naive: bool = False) -> Candidate:
        key = self._key(stage_of)
        known = self._candidates.get(key)
        if known is not None:
            known.aliases.append(name)
            known.naive = known.naive or naive
            return known
        self._candidates[key] = Candidate(
            name=name,
            stage_of=stage_of,
            naive=naive,
            allowed=self._problem.allows(stage_of),
            predicted=self._problem.bottleneck(stage_of),
        )
        return self._candidates[key]

    def _measure(self, candidates: Sequence[Candidate], rounds: int, *, last: bool = False) -> bool:
        """Measure candidates in turns and note what they took; whether all that can run have."""
        answers = self._bench.measure({c.name: c.stage_of for c in candidates}, rounds, last=last)
        shared = next((c for c in candidates if c.timing is not None and c.name in answers), None)
        before = 1.0 if shared is None else shared.relative
        for candidate in candidates:
            answer = answers.get(candidate.name)
            if isinstance(answer, str):
                candidate.failure = answer
            elif answer is not None:
                candidate.timing = answer
                link = self._problem.link_seconds(candidate.stage_of)
                self._observations.append(
                    Observation(stage_of=candidate.stage_of, link=link, timing=answer, turn=self._turns)
                )
        self._turns += 1
        ran = [c for c in candidates if isinstance(answers.get(c.name), Timing)]
        if ran:
            unit = _period(shared if shared in ran else ran[0]) / before
            for candidate in ran:
                candidate.relative = _period(candidate) / unit
        return bool(ran) and all(c in ran or c.failure for c in candidates)

    def _ranked(self) -> list[Candidate]:
        """Return the allowed candidates that ran, fastest first."""
        able = [c for c in self._candidates.values() if c.allowed and c.timing is not None and not c.failure]
        return sorted(able, key=lambda c: c.relative)

    def _next(self) -> IntArray | None:
        """Return a split not measured yet: the optimum of the corrected costs, or one that relieves the best split."""
        correction = fit(self._work, self._observations)
        best = self._ranked()[0]
        assert best.timing is not None
        slowest = best.stage_of == int(np.nanargmax(best.timing.stage_seconds))
        for tilt in (0.0, *TILTS):
            if tilt and self._bench.hurried():
                return None
            leaning = Correction(node=correction.node * np.where(slowest, 1 + tilt, 1.0), link=correction.link)
            found = self._propose(self._problem.corrected(leaning))
            if self._bench.stopped() or found is None:
                return None
            if self._key(found) not in self._candidates:
                return found
        return None

    def _finalists(self) -> list[Candidate]:
        ranked = self._ranked()
        if not ranked:
            return []
        close = [c for c in ranked if c.relative <= ranked[0].relative * (1 + MARGIN)][:FINALISTS]
        naive = next((c for c in ranked if c.naive), None)
        if naive is not None and naive not in close:
            close = [*close[: FINALISTS - 1], naive]
        return close

    def _winner(self, finalists: Sequence[Candidate], raced: bool) -> tuple[Candidate | None, str]:
        racers = [c for c in finalists if not c.failure]
        if raced and len(racers) > 1:
            return decide(racers)
        ranked = self._ranked()
        if not ranked:
            return None, "no split was measured"
        if self._bench.stopped():
            return ranked[0], "the best so far: the last race was not run to its end"
        return ranked[0], f"no other split came within {MARGIN:.0%} of it"


def _period(candidate: Candidate) -> float:
    assert candidate.timing is not None
    return candidate.timing.period


def _periods(candidate: Candidate) -> FloatArray:
    assert candidate.timing is not None
    return candidate.timing.periods

"""The conformance suite: tests that every formulation and strategy must pass, those of plugins included.

In a test file of your own::

    from framework.testing.conformance import Conformance

    class TestMine(Conformance):
        entry = "my-bound:depth=3"

or, without pytest, ``pipebound check my-bound --plugin mine.py``.
"""

from __future__ import annotations

import pickle
import random
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from framework.bounds import Limit, Outcome
from framework.contracts import CertificateChecker, Feature, Refuted, Satisfied, Undecided
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.portfolio.logs.write import steps_of
from framework.proof.check import proven_by
from framework.proof.problem import RefusedError, plain_problem
from framework.registry import EntrySpec, load_plugins, registry
from framework.testing.brute_force import brute_force_optimum
from framework.testing.damage import damaged
from framework.testing.instances import (
    random_in_flight_problem,
    random_layered_instance,
    random_limited_problem,
    random_memory_problem,
    random_problem,
    random_shared_problem,
    random_unequal_problem,
    random_workset_problem,
)
from framework.wording import counted

SLACK_SECONDS = 5.0
"""How far past its deadline an entry may run: a kernel's step on a loaded machine, not a second search."""


class Conformance:
    """Inherit, set `entry`, and let pytest collect the tests.

    Attributes
    ----------
    entry
        An entry spec, ``name:param=value``; formulation or strategy.
    seeds
        Seeds of the random small problems.
    seconds
        Time limit of each run on a small problem.
    """

    entry: str = ""
    seeds: range = range(60)
    seconds: float = 20.0

    def test_bounds_and_partitions_are_true_on_random_problems(self) -> None:
        """No dual bound above the brute-force optimum; an exact entry that finishes equals it."""
        exact = registry.get(EntrySpec.parse(self.entry).name).supports(Feature.EXACT)
        for seed in self.seeds:
            problem, outcome, board = run_random(self.entry, seed, self.seconds)
            assert_claims_true(problem, outcome, board, exact=exact, label=f"{self.entry} on random_problem({seed})")

    def test_special_cases(self) -> None:
        """One stage, more stages than nodes, one node, zero costs, no edges, separate parts, ties, no capacity."""
        for label, instance in special_instances():
            for stages in (1, 2, instance.n, instance.n + 3):
                self._assert_true(Problem(instance=instance, stages=stages), exact=False, label=f"{label}, k={stages}")

    def test_decisions_are_true_on_random_problems(self) -> None:
        """A decision formulation refutes nothing that is possible, and satisfies only with a partition."""
        if not registry.get(EntrySpec.parse(self.entry).name).supports(Feature.DECISION):
            return
        formulation = registry.create_decision(self.entry)
        for seed in self.seeds:
            problem = random_problem(seed)
            optimum = brute_force_optimum(problem)
            for threshold in {optimum - 1, optimum, optimum + 1, optimum // 2}:
                if threshold < 0:
                    continue
                context = LocalContext(_board(problem), self.entry, seconds=self.seconds)
                decision = formulation.decide(problem, threshold, context)
                label = f"random_problem({seed}), threshold {threshold}, optimum {optimum}: {decision}"
                if isinstance(decision, Satisfied):
                    assert bottleneck(problem, decision.partition) <= threshold, label
                elif isinstance(decision, Refuted):
                    assert threshold < optimum, label
                else:
                    assert isinstance(decision, Undecided), label
                    assert decision.reason, label

    def test_certificates_prove_what_they_claim(self) -> None:
        """Where certificates are given and can be checked, the check proves at least the bound."""
        for seed in self.seeds:
            problem, _, board = run_random(self.entry, seed, self.seconds)
            for bound in board.bounds:
                if bound.certificate is None:
                    continue
                assert bound.certificate.instance == problem.instance.sha256(), f"random_problem({seed})"
                checker = registry.create(EntrySpec(bound.certificate.kind))
                assert isinstance(checker, CertificateChecker), f"{bound.certificate.kind} checks no certificates"
                assert checker.check(problem, bound.certificate) >= bound.value, f"random_problem({seed})"

    def test_certificates_become_proofs_that_no_damage_makes_false(self) -> None:
        """What has a rule of proof logs proves as much there; damaged at random, never more than the optimum."""
        rng = random.Random(5)
        for seed in self.seeds:
            problem, _, board = run_random(self.entry, seed, self.seconds)
            plain, optimum = plain_problem(problem.instance, problem.stages), brute_force_optimum(problem)
            for bound in board.bounds:
                written = bound.certificate and steps_of(bound.certificate, np.arange(problem.instance.n))
                if not written:
                    continue
                assert bound.value <= proven_by(plain, written) <= optimum, f"random_problem({seed}): {written}"
                for _ in range(5):
                    steps = damaged(written, rng)
                    with suppress(RefusedError):
                        assert proven_by(plain, steps) <= optimum, f"random_problem({seed}): {steps}"

    def test_hard_limits_are_kept(self) -> None:
        """With pins and memory limits no bound is above the optimum; with `Feature.LIMITS`, every partition obeys."""
        for seed in self.seeds[:12]:
            label = f"random_limited_problem({seed})"
            assert_bounds_hold(self.entry, random_limited_problem(seed), label=label, seconds=self.seconds)

    def test_shared_parameters_are_paid_once(self) -> None:
        """Where several nodes use a parameter no bound is above the optimum; exact entries that count so close.

        Some of these problems have hard limits as well.
        """
        for seed in self.seeds[:12]:
            label = f"random_shared_problem({seed})"
            assert_bounds_hold(self.entry, random_shared_problem(seed), label=label, seconds=self.seconds)

    def test_working_sets_count_once_a_stage(self) -> None:
        """Where a memory limit counts working sets no bound is above the optimum; exact entries with `LIMITS` close."""
        for seed in self.seeds[:12]:
            label = f"random_memory_problem({seed})"
            assert_bounds_hold(self.entry, random_memory_problem(seed), label=label, seconds=self.seconds)

    def test_working_sets_count_towards_the_capacity(self) -> None:
        """Where they do, no bound is above the optimum; exact entries that count them close the gap."""
        for seed in self.seeds[:12]:
            label = f"random_workset_problem({seed})"
            assert_bounds_hold(self.entry, random_workset_problem(seed), label=label, seconds=self.seconds)

    def test_unequal_stages_are_priced_each(self) -> None:
        """On different devices no bound is above the optimum; exact entries that tell them apart close the gap."""
        for seed in self.seeds[:12]:
            label = f"random_unequal_problem({seed})"
            assert_bounds_hold(self.entry, random_unequal_problem(seed), label=label, seconds=self.seconds)

    def test_activations_count_as_often_as_microbatches_are_in_flight(self) -> None:
        """Where stages keep activations in training no bound is above the optimum; exact entries close the gap."""
        for seed in self.seeds[:12]:
            label = f"random_in_flight_problem({seed})"
            assert_bounds_hold(self.entry, random_in_flight_problem(seed), label=label, seconds=self.seconds)

    def test_the_deadline_is_kept(self) -> None:
        """On a problem too hard to finish, it returns soon after its deadline, even one in the past."""
        problem = hard_problem()
        self._run(problem, seconds=0.2)  # compiles what is not compiled yet
        for seconds in (0.0, 1.0):
            started = time.monotonic()
            self._run(problem, seconds=seconds)
            late = time.monotonic() - started - seconds
            assert late <= SLACK_SECONDS, f"{late:.1f} s past a deadline of {seconds:g} s"

    def test_cancelling_is_obeyed(self) -> None:
        """It returns soon after the run is cancelled, without a deadline."""
        problem = hard_problem()
        self._run(problem, seconds=0.2)
        started = time.monotonic()
        context = LocalContext(_board(problem), self.entry, cancelled=lambda: time.monotonic() > started + 0.5)
        self._call(problem, context)
        late = time.monotonic() - started - 0.5
        assert late <= SLACK_SECONDS, f"{late:.1f} s after it was cancelled"

    def test_the_same_seed_gives_the_same_result(self) -> None:
        """Two runs that no limit stops agree in bound, incumbent and partition."""
        # What drives another entry gives it seconds for each step, and gives up where it decides nothing within them.
        drives = bool(registry.inner_of(self.entry))
        for seed in (1, 2):
            problem = Problem(instance=random_layered_instance(seed, 24, capacity_share=0.2), stages=3)
            (outcome, first), (_, second) = (self._run(problem, seconds=60.0) for _ in range(2))
            if outcome.termination.limit is Limit.TIME or (drives and outcome.termination.limit is Limit.ITERATIONS):
                continue
            assert first.interval == second.interval, f"{first.interval} and {second.interval}"
            if first.incumbent is not None and second.incumbent is not None:
                same = first.incumbent.partition.stage_of == second.incumbent.partition.stage_of
                assert same.all(), f"{int((~same).sum())} of {counted(len(same), 'node')} in another stage"

    def test_the_problem_is_left_as_it_was(self) -> None:
        """An entry must not write into the arrays it is given."""
        problem = random_problem(11)
        before = problem.instance.sha256()
        self._run(problem)
        assert problem.instance.sha256() == before, "it wrote into the instance"

    def test_it_can_be_pickled(self) -> None:
        """Members are sent to other processes and machines."""
        made = registry.create(self.entry)
        assert pickle.loads(pickle.dumps(made)) == made, "what is unpickled differs"

    def _run(self, problem: Problem, seconds: float | None = None) -> tuple[Outcome, Board]:
        limit = self.seconds if seconds is None else seconds
        return run_entry(registry.create(self.entry), problem, name=self.entry, seconds=limit, seed=7)

    def _call(self, problem: Problem, context: LocalContext) -> Outcome:
        made: Any = registry.create(self.entry)
        outcome: Outcome = made.run(problem, context) if hasattr(made, "run") else made.bound(problem, context)
        return outcome

    def _assert_true(self, problem: Problem, *, exact: bool, label: str) -> None:
        assert_true(self.entry, problem, exact=exact, label=label, seconds=self.seconds)


def assert_true(entry: str, problem: Problem, *, exact: bool, label: str, seconds: float = 60.0, seed: int = 7) -> None:
    """Run an entry on a small problem and hold what it claims and finds against brute force.

    Parameters
    ----------
    exact
        Whether it has to close the gap.
    label
        Names the problem in the message.

    Raises
    ------
    AssertionError
        For a bound above the optimum, an invalid partition, or a gap left open by an exact entry.
    """
    outcome, board = run_entry(registry.create(entry), problem, name=entry, seconds=seconds, seed=seed)
    assert_claims_true(problem, outcome, board, exact=exact, label=f"{entry} on {label}")


@lru_cache(maxsize=64)
def run_random(entry: str, seed: int, seconds: float) -> tuple[Problem, Outcome, Board]:
    """Run an entry on `random_problem(seed)`; two tests look at the same runs."""
    problem = random_problem(seed)
    return problem, *run_entry(registry.create(entry), problem, name=entry, seconds=seconds, seed=7)


def assert_claims_true(problem: Problem, outcome: Outcome, board: Board, *, exact: bool, label: str) -> None:
    """Hold what a run claimed and found against brute force; see `assert_true`."""
    optimum = brute_force_optimum(problem)
    where = f"{label}: optimum {optimum}, {board.interval}, {outcome.termination}"
    assert not board.contradictions, where
    assert not board.rejected, f"{where}, {board.rejected}"
    assert board.dual is None or board.dual.value <= optimum, where
    assert board.incumbent is None or board.incumbent.value >= optimum, where
    if exact:
        assert board.interval.closed, where


def assert_bounds_hold(entry: str, problem: Problem, *, label: str, seconds: float = 60.0, seed: int = 7) -> None:
    """Run an entry on a small problem with hard limits, shared parameters or both; hold its claims against brute force.

    Only exact entries that have the features for it get all the time; the others, a third of a second of it at most.

    Raises
    ------
    AssertionError
        For a bound above the optimum; for an entry with `Feature.LIMITS` also for a partition that breaks the limits,
        and, if it is exact, for a gap left open.
    """
    features, needed = registry.features_of(entry), {Feature.EXACT}
    if problem.instance.stage_limit is not None:
        needed.add(Feature.LIMITS)
    if len(problem.instance.shared):
        needed.add(Feature.SHARED)
    if problem.instance.counts_worksets:
        needed.add(Feature.WORKSETS)
    if problem.instance.unequal is not None:
        needed.add(Feature.UNEQUAL)
    closes = needed <= features
    optimum = brute_force_optimum(problem)
    limit = seconds if closes else min(0.3, seconds)
    _, board = run_entry(registry.create(entry), problem, name=entry, seconds=limit, seed=seed)
    where = f"{entry} on {label}: optimum {optimum}, {board.interval}"
    assert not board.contradictions, where
    assert not board.rejected, f"{where}, {board.rejected}"
    assert board.dual is None or board.dual.value <= optimum, where
    assert board.incumbent is None or board.incumbent.value >= optimum, where
    assert not board.over_limit or not needed - {Feature.EXACT} <= features, f"{where}, partitions break the limit"
    assert board.interval.closed or board.infeasible or not closes, where


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformanceCheck:
    """The outcome of one test of the suite."""

    name: str
    passed: bool
    seconds: float
    detail: str


def run_conformance(
    entry: str, *, seeds: int = 60, say: Callable[[str], None] = lambda text: None
) -> list[ConformanceCheck]:
    """Run the whole suite on one entry without pytest."""
    load_plugins()
    registry.features_of(entry)
    suite = type("Suite", (Conformance,), {"entry": entry, "seeds": range(seeds)})()
    checks = []
    for name in conformance_tests():
        say(name)
        started = time.monotonic()
        detail = ""
        try:
            getattr(suite, name)()
        except Exception as error:
            detail = _what_failed(error)
        checks.append(
            ConformanceCheck(
                name=name.removeprefix("test_").replace("_", " "),
                passed=not detail,
                seconds=time.monotonic() - started,
                detail=detail,
            )
        )
    return checks


def _what_failed(error: Exception) -> str:
    """Return the last line of a traceback, and the place it came from: of our own checks the words are enough."""
    words = " ".join(str(error).split())
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if isinstance(error, AssertionError) and words and frame.filename == __file__:
        return words
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    what = f"{type(error).__name__}: {words}" if words else f"{type(error).__name__}: {frame.line}"
    return f"{what} ({place})"


def conformance_tests() -> tuple[str, ...]:
    """Return the names of the suite's tests, in the order of definition."""
    return tuple(name for name in vars(Conformance) if name.startswith("test_"))


def special_instances() -> Iterator[tuple[str, Instance]]:
    """Yield the shapes that break careless code, with a name each."""
    yield "one node", instance_from_lists([5], [])
    yield "one node without work", instance_from_lists([0], [], parameter_cost=[4], capacity=1)
    yield "zero costs", instance_from_lists([0, 0, 0], [(0, 0, [1]), (1, 0, [2])])
    yield "no edges", instance_from_lists([3, 1, 4, 1, 5], [])
    yield "two parts", instance_from_lists([3, 1, 4, 1], [(0, 2, [1]), (2, 7, [3])])
    yield "free work, dear tensors", instance_from_lists([0, 0, 0, 0], [(0, 9, [1, 2]), (1, 9, [3]), (2, 9, [3])])
    yield "equal nodes", instance_from_lists([2] * 6, [(0, 1, [1, 2, 3, 4]), *((v, 1, [5]) for v in range(1, 5))])
    yield "a star", instance_from_lists([1] * 7, [(0, 10, list(range(1, 7)))])
    yield "no capacity", instance_from_lists([1, 2, 3], [(0, 1, [1, 2])], parameter_cost=[5, 0, 9], capacity=0)
    yield "large numbers", instance_from_lists([1 << 40, 3, 1 << 41], [(0, 1 << 39, [1]), (1, 1, [2])])


def hard_problem() -> Problem:
    """Return a wide problem that nothing closes within a second."""
    return Problem(instance=random_layered_instance(3, 160, width=60), stages=6)


def _board(problem: Problem) -> Board:
    started = time.monotonic()
    return Board(problem, clock=lambda: time.monotonic() - started)

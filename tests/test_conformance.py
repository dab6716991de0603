"""Every built-in formulation and strategy through the conformance suite, and the suite against bad entries."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pytest

from framework.bounds import DualBound, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Partition, Problem
from framework.registry import Kind, load_plugins, register_formulation, registry
from framework.testing.conformance import Conformance, conformance_tests, run_conformance

load_plugins()
BUILT_INS = [
    entry.name
    for kind in (Kind.FORMULATION, Kind.STRATEGY)
    for entry in registry.entries(kind)
    if not entry.name.startswith("test-")
]


SLOW = {"brkga", "brkga-10000", "counting", "lagrangian", "multilevel", "soc", "weave", "window-propagation"}
"""Methods that take a tenth of a second and more on any problem: they see fewer of the small ones here."""
FEW = 12
"""Random problems of a quick run: `test_brute_force.py` has these, and many more."""
ON_ALL_SEEDS = (
    "test_bounds_and_partitions_are_true_on_random_problems",
    "test_decisions_are_true_on_random_problems",
    "test_certificates_prove_what_they_claim",
    "test_certificates_become_proofs_that_no_damage_makes_false",
)
"""The tests that take every seed; the others take as many as `FEW` at most."""


def suite_of(entry: str, seeds: range) -> Conformance:
    suite = Conformance()
    suite.entry, suite.seeds = entry, seeds
    return suite


@pytest.mark.parametrize("test", conformance_tests())
@pytest.mark.parametrize("entry", BUILT_INS)
def test_built_ins_conform(entry: str, test: str) -> None:
    getattr(suite_of(entry, range(FEW)), test)()


@pytest.mark.slow
@pytest.mark.parametrize("entry", BUILT_INS)
def test_built_ins_conform_on_more_problems(entry: str) -> None:
    assert set(BUILT_INS) >= SLOW
    suite = suite_of(entry, range(FEW, 15 if entry in SLOW else 60))
    for test in ON_ALL_SEEDS:
        getattr(suite, test)()


@register_formulation("test-conformance-high", features=[Feature.DUAL], summary="a bound that is one too high")
@dataclass(frozen=True, slots=True, kw_only=True)
class OneTooHigh:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        from framework.testing.brute_force import brute_force_optimum

        value = brute_force_optimum(problem) + 1 if problem.instance.n <= 9 else 0
        bound = DualBound(value=value, source="test-conformance-high", soundness=Soundness.EXACT)
        return Outcome(dual=bound, termination=Termination(reason=Reason.FINISHED))


@register_formulation("test-conformance-writes", features=[Feature.DUAL], summary="writes into its input")
@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        problem.instance.work[0] += 1
        return Outcome(termination=Termination(reason=Reason.FINISHED))


@register_formulation(
    "test-conformance-limits",
    features=[Feature.PRIMAL, Feature.LIMITS],
    summary="says it keeps to limits, and does not",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class BreaksLimits:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        context.report_partition(Partition(stage_of=np.zeros(problem.instance.n, np.int64)))
        return Outcome(termination=Termination(reason=Reason.FINISHED))


@register_formulation("test-conformance-raises", features=[Feature.DUAL], summary="asserts and fails")
@dataclass(frozen=True, slots=True, kw_only=True)
class Raises:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        if problem.stages > 2:
            raise AssertionError
        raise KeyError("[/x]\nof two lines")


def test_the_detail_of_a_failure_is_what_failed_and_where() -> None:
    details = {check.name: check.detail for check in run_conformance("test-conformance-raises", seeds=2)}
    line = r"\(test_conformance\.py:\d+\)"
    assert re.fullmatch(rf"KeyError: '\[/x\]\\nof two lines' {line}", details["special cases"])
    assert re.fullmatch(rf"AssertionError: raise AssertionError {line}", details["the deadline is kept"])
    assert not any("^" in detail for detail in details.values())


@pytest.mark.parametrize("inner", ["sweep", "counting", "ideal-dp"])
def test_over_another_entry_limits_are_kept_if_that_keeps_them(inner: str) -> None:
    entry = f"bisection:over={inner},max_rounds=1,first_seconds=0.05"
    suite = suite_of(entry, range(6))
    suite.test_hard_limits_are_kept()
    assert (Feature.LIMITS in registry.features_of(entry)) == (inner == "ideal-dp")
    assert registry.inner_of(entry) == inner
    assert registry.inner_of("ideal-dp") == ""


@pytest.mark.parametrize(
    ("entry", "caught"),
    [
        ("test-conformance-high", "bounds and partitions are true on random problems"),
        ("test-conformance-writes", "the problem is left as it was"),
        ("test-conformance-limits", "hard limits are kept"),
        ("test-conformance-raises", "special cases"),
    ],
)
def test_the_suite_catches(entry: str, caught: str) -> None:
    failed = {check.name: check.detail for check in run_conformance(entry, seeds=5) if not check.passed}
    assert caught in failed
    assert failed[caught]

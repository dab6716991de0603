"""Cores are built once and read at several thresholds, which changes nothing of what is left at each."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.instance import Instance
from framework.model.problem import Problem
from framework.structure.filtering import cores
from framework.structure.filtering.cores import MOST_KEPT, InstanceCores
from framework.structure.filtering.rounds import FixedProblems
from framework.structure.filtering.tuning import FilterTuning
from framework.structure.fluid.core import FluidCore, build_core
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_instance, random_layered_instance
from strategies.fixing import Fixing


@given(st.integers(0, 10**6))
@settings(max_examples=40, derandomize=True, deadline=None)
def test_thresholds_before_change_nothing_at_a_higher_one(seed: int) -> None:
    problem = Problem(instance=random_instance(seed, max_nodes=10), stages=2 + seed % 3)
    tuning = FilterTuning(first_ideals=4 + seed % 9, max_ideals=60)
    several = FixedProblems(problem, tuning)
    optimum = brute_force_optimum(problem)
    for threshold in sorted({optimum // 2, optimum - 1, optimum, optimum + 2, 2 * optimum}):
        alone = FixedProblems(problem, tuning)
        assert several.fix(threshold) == alone.fix(threshold)
        assert several.rounds(threshold) == alone.rounds(threshold)
        one, other = several.at(threshold), alone.at(threshold)
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert one.instance.sha256() == other.instance.sha256()
            assert _bounds(one) == _bounds(other)


@pytest.mark.parametrize("calls", range(12))
def test_what_was_stopped_is_noted_as_what_was_not(calls: int) -> None:
    """Three branches that can be exchanged are put in order; wherever that is stopped, it is not forgotten."""
    (problem,) = Fixing().examples()
    optimum, asked = brute_force_optimum(problem), count()
    stopped, whole = FixedProblems(problem), FixedProblems(problem)
    stopped.fix(optimum, should_stop=lambda: next(asked) >= calls)
    for problems in (stopped, whole):
        problems.fix(optimum)
    assert whole.rounds(optimum)[9]
    assert stopped.rounds(optimum) == whole.rounds(optimum)


def _bounds(problem: Problem) -> list[list[int]]:
    windows = problem.windows
    return [] if windows is None else [windows.earliest.tolist(), windows.latest.tolist()]


def test_a_core_is_built_once_for_all_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []

    def counted(instance: Instance, *given: Any, **more: Any) -> FluidCore:
        built.append(instance.n)
        return build_core(instance, *given, **more)

    monkeypatch.setattr(cores, "build_core", counted)
    problem = Problem(instance=random_layered_instance(3, 60, width=6), stages=4)
    problems = FixedProblems(problem, FilterTuning(first_ideals=100, max_ideals=100))
    bound = simple_bound(problem)
    assert problems.fix(bound - 2)
    first = len(built)
    assert first
    assert problems.fix(bound - 1)
    assert len(built) == first


def test_so_many_cores_are_kept() -> None:
    instance = random_layered_instance(3, 60, width=6)
    known = InstanceCores(instance, 1, lambda: False)
    sizes = [20 * 2**i for i in range(MOST_KEPT + 1)]
    chosen = [known.core(0, size, lambda: False) for size in sizes]
    again = [known.core(0, size, lambda: False) for size in sizes]
    assert [one is other for one, other in zip(chosen, again, strict=True)] == [True] * MOST_KEPT + [False]

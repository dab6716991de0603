"""Rounds of fixing on cores with tolls where stages have prices of their own, against exhaustion."""

from __future__ import annotations

import pytest

from framework.structure.filtering.rounds import FixedProblems
from framework.structure.filtering.tuning import FilterTuning
from framework.testing.brute_force import brute_force_optimum
from framework.testing.priced_instances import random_attention_problem


@pytest.mark.parametrize("seed", range(40))
def test_the_optimum_is_kept_and_nothing_better(seed: int) -> None:
    problem = random_attention_problem(seed)
    optimum, ideals = brute_force_optimum(problem), 2 + seed % 17
    problems = FixedProblems(problem, FilterTuning(first_ideals=ideals, max_ideals=ideals))
    for threshold in (2 * optimum, optimum + 3, optimum):
        assert not problems.fix(threshold, seed % 2)
        left = problems.at(threshold)
        assert left is not None
        assert brute_force_optimum(left) == optimum
    if not problems.fix(optimum - 1):
        left = problems.at(optimum - 1)
        assert left is not None
        assert brute_force_optimum(left) >= optimum

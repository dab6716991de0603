"""Relations between bounds that hold by construction: a relaxation proves no more than what it relaxes."""

from __future__ import annotations

import pytest

from framework.bounds import Reason
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem

load_plugins()
TOLERANCE = 1e-5
"""Relative: the bounds of HiGHS are discounted by 2e-6, and it may stop at a gap of 1e-6."""


def _bound(spec: str, problem: Problem) -> int:
    outcome, board = run_entry(registry.create(spec), problem, name=spec)
    assert outcome.termination.reason in {Reason.OPTIMAL, Reason.FINISHED}
    assert not board.contradictions
    assert outcome.dual is not None
    return outcome.dual.value


@pytest.mark.parametrize("groups", [2, 4])
def test_lp_is_at_most_superblocks_is_at_most_the_optimum(groups: int) -> None:
    """The integer solutions of a superblock model with a bottleneck T keep to the windows that `lp` uses at T."""
    strict = 0
    for seed in range(80_000, 80_040):
        problem = random_problem(seed, max_nodes=7)
        optimum = brute_force_optimum(problem)
        relaxed = _bound(f"lp:groups={groups}", problem)
        grouped = _bound(f"superblocks:groups={groups}", problem)
        label = f"random_problem({seed}): {simple_bound(problem)} {relaxed} {grouped} {optimum}"
        assert simple_bound(problem) <= relaxed, label
        assert relaxed <= grouped + TOLERANCE * grouped, label
        assert grouped <= optimum, label
        if groups >= problem.useful_stages:
            assert grouped >= optimum - TOLERANCE * optimum, label
        strict += relaxed < grouped or grouped < optimum
    assert strict > 3

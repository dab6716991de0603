"""Small random problems, with all that can be proved of them."""

from __future__ import annotations

from collections.abc import Iterator

from framework.model.problem import Problem
from framework.proof.log import Step
from framework.proof.problem import PlainProblem, plain_problem
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import (
    random_in_flight_problem,
    random_limited_problem,
    random_memory_problem,
    random_problem,
    random_shared_problem,
    random_unequal_problem,
    random_workset_problem,
)
from framework.testing.proofs import as_checked

DRAWN = (random_problem, random_shared_problem, random_workset_problem)
LIMITED = (
    random_limited_problem,
    random_memory_problem,
    random_unequal_problem,
    random_in_flight_problem,
    *DRAWN[1:],
)
"""What draws problems with limits and pins, and with stages that differ: all of them, or some."""


def drawn_problems(count: int, first: int = 0) -> Iterator[tuple[Problem, PlainProblem, int]]:
    """Yield problems of every kind that proofs cover, as the checker sees them too, and their optima."""
    for seed in range(first, first + count):
        problem = DRAWN[seed % len(DRAWN)](seed)
        if problem.instance.stage_limit is None:
            yield problem, plain_problem(problem.instance, problem.stages), brute_force_optimum(problem)


def limited_problems(count: int, first: int = 0) -> Iterator[tuple[Problem, PlainProblem, int]]:
    """Yield problems with limits, with pins or with stages that differ."""
    for seed in range(first, first + count):
        problem = LIMITED[seed % len(LIMITED)](seed)
        if problem.instance.stage_limit is not None or problem.instance.unequal is not None:
            yield problem, as_checked(problem), brute_force_optimum(problem)


def moves(pairs: list[tuple[int, int]]) -> Step:
    """Return the step that makes so many moves."""
    return Step(rule="contract", data={"moves": [v for pair in pairs for v in pair]})

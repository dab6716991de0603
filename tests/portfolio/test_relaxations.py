"""Whatever relaxation an entry is given, `verify` knows the instance that its certificates speak of."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from framework.model.problem import Problem
from framework.portfolio.proofs import relaxations
from framework.registry import Kind, load_plugins, registry
from framework.testing.instances import (
    random_limited_problem,
    random_memory_problem,
    random_shared_problem,
    random_unequal_problem,
    random_workset_problem,
)

DRAWS = [
    random_limited_problem,
    random_memory_problem,
    random_shared_problem,
    random_unequal_problem,
    random_workset_problem,
]


@pytest.mark.parametrize("draw", DRAWS)
def test_every_relaxation_is_found_by_its_digest(draw: Callable[[int], Problem]) -> None:
    load_plugins()
    entries = [entry for kind in (Kind.FORMULATION, Kind.STRATEGY) for entry in registry.entries(kind)]
    made = [registry.create(entry.name) for entry in entries]
    for seed in range(25):
        problem = draw(seed)
        known = relaxations(problem)
        for one in made:
            assert registry.problem_for(one, problem).instance.sha256() in known, f"{one} on {draw.__name__}({seed})"

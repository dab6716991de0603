"""Two thousand random problems against exhaustion: every method, every bound, every partition."""

from __future__ import annotations

import pytest

from framework.contracts import Feature
from framework.portfolio.local import run_entry
from framework.registry import Kind, load_plugins, registry
from framework.structure.reductions import reduce_exact
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem

load_plugins()
PROBLEMS = 2000
SHARES = 10
EXACT = {"ideal-dp", "cp-sat"}
METHODS = [
    entry.name
    for kind in (Kind.FORMULATION, Kind.STRATEGY)
    for entry in registry.entries(kind)
    if not entry.name.startswith("test-") and entry.features & {Feature.DUAL, Feature.PRIMAL}
]


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_all_methods_against_exhaustion(share: int) -> None:
    assert set(METHODS) >= EXACT
    for seed in range(share * PROBLEMS // SHARES, (share + 1) * PROBLEMS // SHARES):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        for name in METHODS:
            outcome, board = run_entry(registry.create(name), problem, name=name, seconds=60.0, seed=seed)
            where = f"{name} on random_problem({seed}): optimum {optimum}, {board.interval}, {outcome.termination}"
            assert not board.contradictions, where
            assert not board.rejected, where
            assert board.dual is None or board.dual.value <= optimum, where
            assert board.incumbent is None or board.incumbent.value >= optimum, where
            if name in EXACT:
                assert board.interval.dual == board.interval.incumbent == optimum, where


@pytest.mark.slow
@pytest.mark.parametrize("share", range(SHARES))
def test_exact_reductions_keep_the_optimum(share: int) -> None:
    for seed in range(share * PROBLEMS // SHARES, (share + 1) * PROBLEMS // SHARES):
        problem = random_problem(seed)
        reduced = type(problem)(instance=reduce_exact(problem.instance), stages=problem.stages)
        assert brute_force_optimum(reduced) == brute_force_optimum(problem), f"random_problem({seed})"

"""`superblocks`, `exact-mip`, `bottleneck`, `guess-bottleneck`: their order, their limits, their claims."""

from __future__ import annotations

import pytest

from framework.bounds import Limit, Soundness
from framework.contracts import Refuted, Satisfied, Undecided
from framework.errors import UserError
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.instances import random_layered_instance

load_plugins()


def dual(spec: str, problem: Problem) -> int:
    _, board = run_entry(registry.create(spec), problem, name=spec)
    assert not board.contradictions
    assert board.dual is not None
    return board.dual.value


def context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


@pytest.mark.parametrize("seed", range(4))
def test_the_relaxations_are_ordered(seed: int) -> None:
    """simple <= bottleneck <= guess <= optimum; groups in groups; all solvers within the discount."""
    problem = Problem(instance=random_layered_instance(seed, 16, capacity_share=0.3), stages=4)
    optimum = dual("ideal-dp", problem)
    discount = 1 + optimum // 400_000
    simple = simple_bound(problem)
    open_position, guessed = dual("bottleneck", problem), dual("guess-bottleneck", problem)
    two, four = dual("superblocks:groups=2", problem), dual("superblocks:groups=4", problem)
    assert simple <= open_position <= guessed + discount
    assert guessed <= optimum
    assert simple <= two <= four + discount
    assert optimum - discount <= four <= optimum
    assert optimum - discount <= dual("exact-mip", problem) <= optimum
    assert optimum - discount <= dual("exact-mip:variables=assignment,windows=true,solver=scip", problem) <= optimum
    assert dual("superblocks:groups=4,solver=cp-sat", problem) == optimum


@pytest.mark.parametrize(
    "spec", ["superblocks:groups=4,solver=cp-sat", "superblocks:groups=4,solver=scip", "superblocks:groups=4"]
)
def test_single_stages_decide(spec: str) -> None:
    problem = Problem(instance=random_layered_instance(9, 16, capacity_share=0.3), stages=4)
    optimum = dual("ideal-dp", problem)
    assert optimum > simple_bound(problem)
    decider = registry.create_decision(spec)
    satisfied = decider.decide(problem, optimum, context(problem))
    refuted = decider.decide(problem, optimum - 1, context(problem))
    assert isinstance(satisfied, Satisfied)
    assert bottleneck(problem, satisfied.partition) <= optimum
    assert isinstance(refuted, Refuted)
    assert refuted.soundness is (Soundness.SOLVER if "cp-sat" in spec else Soundness.TOLERANCE)
    assert decider.decide(problem, simple_bound(problem) - 1, context(problem)) == Refuted(soundness=Soundness.EXACT)


def test_more_layouts_prove_no_less() -> None:
    problem = Problem(instance=random_layered_instance(11, 20, width=8), stages=5)
    few, many = (dual(f"superblocks:solver=cp-sat,layouts={count}", problem) for count in (1, 4))
    assert few <= many <= dual("ideal-dp", problem)


def test_models_too_large_are_refused_before_they_are_built() -> None:
    problem = Problem(instance=random_layered_instance(1, 200), stages=8)
    for name in ("exact-mip", "superblocks", "bottleneck", "guess-bottleneck"):
        outcome, _ = run_entry(registry.create(f"{name}:max_size=100"), problem)
        assert outcome.termination.limit is Limit.SIZE
        assert "more than max_size = 100" in outcome.termination.detail
    answer = registry.create_decision("superblocks:max_size=100").decide(problem, 10**6, context(problem))
    assert isinstance(answer, Undecided)


def test_wrong_parameters_are_refused() -> None:
    for spec in ("superblocks:groups=0", "superblocks:layouts=0", "exact-mip:solver=cp-sat", "bottleneck:max_size=0"):
        with pytest.raises(UserError):
            registry.create(spec)

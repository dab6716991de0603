"""`nested-cuts` against the ideals, on problems too large for brute force, and its options."""

from __future__ import annotations

import pytest

from framework.bounds import Limit, Reason
from framework.contracts import LagrangianFormulation, Refuted, Satisfied, Undecided
from framework.model.instance import instance_from_lists
from framework.model.pricing import price
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.primal.initial_interval import simple_bound
from framework.testbed.random_graphs import FAMILIES, regal_graph
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def _optimum(problem: Problem) -> int:
    _, board = run_entry(registry.create("ideal-dp"), problem)
    assert board.interval.closed
    assert board.interval.dual is not None
    return board.interval.dual


def _context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "nested-cuts")


@pytest.mark.parametrize(
    ("stages", "nodes", "share"),
    [
        (2, 30, None),
        (2, 30, 0.3),
        (3, 22, None),
        pytest.param(3, 22, 0.25, marks=pytest.mark.slow),
        (4, 16, None),
    ],
)
def test_it_agrees_with_the_ideals(stages: int, nodes: int, share: float | None) -> None:
    for seed in range(3):
        instance = random_layered_instance(seed, nodes, width=6, capacity_share=share)
        problem = Problem(instance=instance, stages=stages)
        outcome, board = run_entry(registry.create("nested-cuts"), problem)
        assert outcome.termination.reason is Reason.OPTIMAL
        assert (board.interval.dual, board.interval.incumbent) == (_optimum(problem), _optimum(problem))


@pytest.mark.parametrize("family", FAMILIES)
def test_two_stages_of_wide_graphs_are_solved_and_their_thresholds_decided(family: str) -> None:
    problem = Problem(instance=price(regal_graph(family, 60, 5)), stages=2)
    outcome, board = run_entry(registry.create("nested-cuts"), problem)
    assert outcome.termination.reason is Reason.OPTIMAL
    optimum = board.interval.dual
    assert optimum is not None
    assert optimum == board.interval.incumbent
    formulation = registry.create_decision("nested-cuts")
    assert isinstance(formulation.decide(problem, optimum - 1, _context(problem)), Refuted)
    found = formulation.decide(problem, optimum, _context(problem))
    assert isinstance(found, Satisfied)
    assert bottleneck(problem, found.partition) == optimum


def test_fewer_groups_than_stages_bound_and_never_decide_what_they_cannot() -> None:
    undecided = 0
    for seed in range(50_000, 50_040):
        problem = random_problem(seed, max_stages=6)
        optimum = brute_force_optimum(problem)
        for groups in (2, 3):
            outcome, board = run_entry(registry.create(f"nested-cuts:groups={groups}"), problem)
            assert outcome.termination.reason in (Reason.OPTIMAL, Reason.FINISHED)
            assert board.interval.dual is None or board.interval.dual <= optimum, f"random_problem({seed})"
            formulation = registry.create_decision(f"nested-cuts:groups={groups}")
            answer = formulation.decide(problem, max(0, optimum - 1), _context(problem))
            assert not isinstance(answer, Satisfied) or optimum == 0
            undecided += isinstance(answer, Undecided)
            assert not isinstance(formulation.decide(problem, optimum, _context(problem)), Refuted)
    assert undecided > 0


def test_a_few_groups_beat_the_simple_bound_at_many_stages() -> None:
    problem = Problem(instance=price(regal_graph("ws", 60, 3)), stages=9)
    _, simple = run_entry(registry.create("simple"), problem)
    outcome, board = run_entry(registry.create("nested-cuts:groups=2"), problem)
    assert outcome.termination.reason is Reason.FINISHED
    assert board.interval.dual is not None
    assert simple.interval.dual is not None
    assert board.interval.dual > simple.interval.dual


def test_what_does_not_fit_is_refused_before_anything_is_built() -> None:
    problem = Problem(instance=random_layered_instance(1, 40), stages=3)
    outcome, _ = run_entry(registry.create("nested-cuts:max_vertices=10"), problem)
    assert outcome.termination.limit is Limit.SIZE
    answer = registry.create_decision("nested-cuts:max_vertices=10").decide(
        problem, simple_bound(problem), _context(problem)
    )
    assert isinstance(answer, Undecided)
    assert answer.reason == "more than 10 vertices"


def test_one_stage_is_decided_without_a_cut() -> None:
    problem = Problem(instance=instance_from_lists([2, 3], [(0, 5, [1])]), stages=1)
    _, board = run_entry(registry.create("nested-cuts"), problem)
    assert board.interval.dual == board.interval.incumbent == 5
    formulation = registry.create_decision("nested-cuts")
    assert isinstance(formulation.decide(problem, 4, _context(problem)), Refuted)
    assert isinstance(formulation.decide(problem, 5, _context(problem)), Satisfied)


def test_its_relaxation_bounds_at_any_multipliers() -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    for seed in range(60_000, 60_040):
        problem = random_problem(seed)
        formulation = registry.create("nested-cuts")
        assert isinstance(formulation, LagrangianFormulation)
        relaxation = formulation.relax(problem, _context(problem))
        if relaxation is None:
            assert problem.useful_stages == 1
            continue
        assert relaxation.multipliers == problem.useful_stages
        optimum = brute_force_optimum(problem)
        for _ in range(5):
            multipliers = rng.random(relaxation.multipliers) + 1e-6
            point = relaxation.evaluate(multipliers / multipliers.sum())
            assert point.bound <= optimum, f"random_problem({seed})"
            assert point.partition is None or bottleneck(problem, point.partition) >= optimum


@pytest.mark.parametrize("spec", ["nested-cuts:groups=1", "nested-cuts:groups=65", "nested-cuts:max_groups=1"])
def test_parameters_out_of_range_are_refused(spec: str) -> None:
    from framework.errors import UserError

    with pytest.raises(UserError, match="groups must be"):
        registry.create(spec)

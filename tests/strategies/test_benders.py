"""`benders`: explanations that hold everywhere, a master that excludes no good partition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.contracts import Refuted, Satisfied, Undecided
from framework.errors import UserError
from framework.model.problem import Partition, Problem, bottleneck, stage_costs
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.flow.cut_explanations import Explainer
from framework.structure.models.benders_master import Master, work_parts
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


def random_partition(problem: Problem, rng: np.random.Generator) -> Partition:
    """Cut a random topological order at random places; stages may be empty."""
    from framework.structure.poset.topological_orders import orders_of_keys

    n = problem.instance.n
    order = orders_of_keys(problem.instance, rng.random((1, n)))[0]
    stage_of = np.empty(n, np.int64)
    stage_of[order] = np.sort(rng.integers(0, problem.stages, n))
    return Partition(stage_of=stage_of)


@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_explanations_hold_for_every_partition(seed: int) -> None:
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    explainer = Explainer(problem.instance)
    explanations = []
    for _ in range(4):
        partition = random_partition(problem, rng)
        costs = stage_costs(problem, partition)
        transfers = costs.inbound + costs.outbound
        for stage in np.flatnonzero(transfers).tolist():
            explanation = explainer.explain(partition.stage_of, stage, int(transfers[stage]) // 2)
            assert int(transfers[stage]) // 2 < explanation.transfer <= int(transfers[stage])
            assert set(explanation.inside) <= set(np.flatnonzero(partition.stage_of == stage).tolist())
            explanations.append(explanation)
    for _ in range(30):
        partition = random_partition(problem, rng)
        costs, stage_of = stage_costs(problem, partition), partition.stage_of
        for explanation in explanations:
            for stage in range(problem.stages):
                inside = (stage_of[list(explanation.inside)] == stage).all()
                outside = (stage_of[list(explanation.before + explanation.after)] != stage).all()
                if inside and outside:
                    assert costs.inbound[stage] + costs.outbound[stage] >= explanation.transfer


def test_explanations_are_short() -> None:
    problem = Problem(instance=random_layered_instance(1, 80), stages=4)
    stage_of = np.repeat(np.arange(4), 20)
    costs = stage_costs(problem, Partition(stage_of=stage_of))
    room = int(costs.inbound[1] + costs.outbound[1]) // 2
    explanation = Explainer(problem.instance).explain(stage_of, 1, room)
    assert len(explanation.inside) <= 6
    assert len(explanation.before + explanation.after) <= 6
    assert explanation.transfer > room


@settings(derandomize=True, deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6))
def test_what_was_learnt_excludes_no_optimal_partition(seed: int) -> None:
    problem = random_problem(seed)
    optimum = brute_force_optimum(problem)
    problem = Problem(instance=problem.instance, stages=problem.useful_stages)
    windows = work_parts(problem.instance, lambda: False).windows.at(problem.stages, optimum)
    assert windows is not None
    master = Master(work_parts(problem.instance, lambda: False), problem, optimum, windows, lambda: False)
    rng, explainer = np.random.default_rng(seed), Explainer(problem.instance)
    for _ in range(6):
        partition = random_partition(problem, rng)
        costs = stage_costs(problem, partition)
        for stage in np.flatnonzero(costs.inbound + costs.outbound).tolist():
            transfer = int(costs.inbound[stage] + costs.outbound[stage])
            master.learn(explainer.explain(partition.stage_of, stage, transfer - 1))
            if costs.total[stage] > optimum:
                master.forbid(partition.stage_of, stage)
    status, stage_of = master.solve(seconds=20.0, threads=1, seed=0, should_stop=lambda: False)
    assert status == "OPTIMAL"
    assert stage_of is not None


def test_it_decides_like_the_exact_method() -> None:
    for seed in range(3):
        problem = Problem(instance=random_layered_instance(seed, 24, width=3, capacity_share=0.3), stages=3)
        _, board = run_entry(registry.create("ideal-dp"), problem)
        assert board.incumbent is not None
        optimum = board.incumbent.value
        decider = registry.create_decision("benders")
        satisfied = decider.decide(problem, optimum, context(problem))
        assert isinstance(satisfied, Satisfied)
        assert bottleneck(problem, satisfied.partition) <= optimum
        assert isinstance(decider.decide(problem, optimum - 1, context(problem)), Refuted)
        outcome, board = run_entry(registry.create("benders"), problem)
        assert board.dual is not None
        assert optimum * (1 - 2e-4) <= board.dual.value <= optimum
        assert outcome.details["explanations"] > 0
        assert board.dual.value > simple_bound(problem)


def test_limits() -> None:
    problem = Problem(instance=random_layered_instance(4, 30, width=10), stages=4)
    threshold = simple_bound(problem) + 50
    answer = registry.create_decision("benders:max_rounds=1").decide(problem, threshold, context(problem))
    assert answer == Undecided(reason="not settled in 1 round")
    with pytest.raises(UserError):
        registry.create("benders:max_rounds=0")

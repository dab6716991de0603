"""Decisions on contracted instances: the answers are those for the instance itself, and nothing leaks untranslated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from framework.bounds import Certificate, Soundness
from framework.contracts import Context, Decision, DecisionFormulation, Refuted, Satisfied, Undecided
from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck, obeys
from framework.portfolio.context.board import Board
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.reduction.threshold_contraction import ContractedProblems
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_limited_problem, random_problem

load_plugins()
PAIRS = Problem(
    instance=instance_from_lists([4] * 8, [(v, 40 if v % 2 == 0 else 1, [v + 1]) for v in range(7)]), stages=2
)
"""Eight nodes in a row, dear and cheap tensors in turn: four pairs at thresholds below 44."""


def _context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


@dataclass(slots=True)
class Spy:
    """Says what it was told to, and keeps what it was given."""

    answer: Decision
    problem: Problem | None = None
    best: Partition | None = None
    report: int = 0

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        self.problem, self.best = problem, context.best_partition()
        if self.report:
            context.report_dual(self.report, Soundness.EXACT, Certificate(kind="spy", data={}))
            context.report_partition(Partition(stage_of=np.arange(problem.instance.n) // 2))
        return self.answer


@pytest.mark.parametrize("name", ["ideal-dp", "cp-sat", "nested-cuts", "core-fluid", "stage-cover", "lp"])
def test_decisions_are_true(name: str) -> None:
    decider: DecisionFormulation = registry.create_decision(name)
    contracted = 0
    for seed in range(81_000, 81_040):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        decisions = ContractedDecisions(decider, problem)
        for threshold in (optimum // 2, optimum - 1, optimum, optimum + 1):
            answer = decisions.decide(threshold, _context(problem))
            label = f"random_problem({seed}), threshold {threshold}, optimum {optimum}: {answer}"
            if isinstance(answer, Satisfied):
                assert bottleneck(problem, answer.partition) <= threshold, label
            elif isinstance(answer, Refuted):
                assert threshold < optimum, label
            else:
                assert answer.reason, label
        contracted += decisions.contracted
    assert contracted


@pytest.mark.parametrize("name", ["ideal-dp", "cp-sat"])
def test_hard_limits_survive(name: str) -> None:
    contracted = 0
    for seed in range(82_000, 82_060):
        problem = random_limited_problem(seed)
        optimum = brute_force_optimum(problem)
        decisions = ContractedDecisions(registry.create_decision(name), problem)
        for threshold in (optimum - 1, optimum):
            answer = decisions.decide(threshold, _context(problem))
            if isinstance(answer, Satisfied):
                assert obeys(problem, answer.partition)
                assert bottleneck(problem, answer.partition) <= threshold
            label = f"random_limited_problem({seed}), threshold {threshold}, optimum {optimum}: {answer}"
            impossible = threshold < optimum or optimum > problem.instance.largest_cost
            assert isinstance(answer, Refuted if impossible else Satisfied | Undecided), label
        contracted += decisions.contracted
    assert contracted


@pytest.mark.parametrize(
    "spec",
    ["stage-cover:contract=true", "counting:contract=true", "column-generation:over=[stage-cover:contract=true]"],
)
def test_bounds_that_contract_on_their_own_way_up(spec: str) -> None:
    for seed in range(83_000, 83_060):
        problem = random_problem(seed, max_nodes=8)
        _, board = run_entry(registry.create(spec), problem)
        assert not board.contradictions
        assert not board.rejected
        if board.interval.dual is not None:
            assert board.interval.dual <= brute_force_optimum(problem), f"random_problem({seed})"


def test_what_a_formulation_sees_and_says_is_translated() -> None:
    context = _context(PAIRS)
    kept, split = (np.array(stages) for stages in ([0] * 4 + [1] * 4, [0] * 3 + [1] * 5))
    context.report_partition(Partition(stage_of=split))
    spy = Spy(Refuted(soundness=Soundness.EXACT, certificate=Certificate(kind="spy", data={})), report=12)
    decisions = ContractedDecisions(spy, PAIRS)
    answer = decisions.decide(16, context)
    assert spy.problem is not None
    assert spy.problem.instance.n == 4
    assert spy.best is None
    assert answer == Refuted(soundness=Soundness.EXACT)
    assert [(bound.value, bound.certificate) for bound in context.board.bounds] == [(12, None)]
    assert context.incumbent == bottleneck(PAIRS, Partition(stage_of=kept)) == 17
    # What refutes the threshold is said by the answer.
    context, spy.report = _context(PAIRS), 99
    decisions.decide(16, context)
    assert context.dual is None
    context, spy.report = _context(PAIRS), 0
    context.report_partition(Partition(stage_of=kept))
    decisions.decide(16, context)
    assert spy.best is not None
    assert spy.best.stage_of.tolist() == [0, 0, 1, 1]


def test_where_nothing_is_contracted_the_problem_and_certificates_stay() -> None:
    certificate = Certificate(kind="spy", data={})
    answer = Refuted(soundness=Soundness.EXACT, certificate=certificate)
    for contract, threshold in ((True, 50), (False, 20)):
        spy = Spy(answer)
        decisions = ContractedDecisions(spy, PAIRS, contract=contract)
        assert decisions.decide(threshold, _context(PAIRS)) == answer
        assert spy.problem is PAIRS
        assert decisions.contracted == 0


def test_no_stage_for_a_node_refutes_without_the_formulation() -> None:
    spy = Spy(Undecided(reason="never asked"))
    assert ContractedDecisions(spy, PAIRS).decide(3, _context(PAIRS)) == Refuted(soundness=Soundness.EXACT)
    assert spy.problem is None


def test_equal_contractions_are_one_object_and_time_is_kept() -> None:
    problems = ContractedProblems(PAIRS)
    first = problems.at(20)
    assert first is not None
    assert first.instance.n == 4
    assert problems.at(25) is first
    assert problems.at(60) is PAIRS
    assert problems.at(20, lambda: True) is PAIRS
    assert ContractedProblems(PAIRS, max_nodes=7).at(20) is PAIRS

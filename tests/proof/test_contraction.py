"""Threshold contraction: the checker contracts what the solver does, and nothing that a stage may separate."""

from __future__ import annotations

import numpy as np
import pytest

from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.portfolio.logs.write import steps_of
from framework.proof.check import proven_by
from framework.proof.log import Step
from framework.proof.problem import RefusedError, plain_problem
from framework.proof.stages import threshold_contract
from framework.registry import load_plugins, registry
from framework.structure.reduction.threshold_contraction import contract_at_threshold
from framework.testing.brute_force import brute_force_optimum
from tests.proof.cases import drawn_problems


def test_the_checker_contracts_what_the_solver_does() -> None:
    contracted = 0
    for problem, seen, optimum in drawn_problems(30, first=200):
        for threshold in (3 * optimum // 4, optimum):
            rounds = list[list[int]]()
            reduced = contract_at_threshold(problem.instance.without_worksets(), threshold, noted=rounds)
            left = threshold_contract(seen, threshold, rounds)
            assert reduced is None or left.n == reduced.n
            contracted += left.n < seen.n
            if left.n < seen.n and threshold == optimum:
                step = Step(rule="threshold-contract", data={"threshold": threshold, "rounds": rounds})
                assert proven_by(seen, [step, Step(rule="ideal-program", data={"threshold": optimum - 1})]) == optimum
                with pytest.raises(RefusedError):
                    proven_by(seen, [step, Step(rule="ideal-program", data={"threshold": optimum})])
    assert contracted > 5


def test_nothing_is_proven_beyond_the_threshold_of_a_contraction() -> None:
    # The ends of the dear tensor share a stage within 12; apart, each costs more.
    seen = plain_problem(instance_from_lists([4, 4, 4], [(0, 20, [1]), (1, 1, [2])]), 3)
    step = Step(rule="threshold-contract", data={"threshold": 7, "rounds": [[0, 1]]})
    assert proven_by(seen, [step, Step(rule="simple")]) == 8
    assert threshold_contract(seen, 12, [[0, 1]]).n == 2
    for rounds in ([[0, 2]], [[1, 0]], [[0, 0]], [[0]], [[0, 3]], [[1, 2]], [[0, 1], [0, 1]]):
        with pytest.raises(RefusedError):
            threshold_contract(seen, 12, rounds)


def test_stage_cover_writes_certificates_of_contracted_instances() -> None:
    load_plugins()
    entry, written = registry.create("stage-cover:contract=true"), 0
    # Two dear tensors in a row of eight: the pairs share stages at all thresholds that matter.
    row = [(v, 44 if v % 2 == 0 else 2, [v + 1]) for v in range(7)]
    for works in ([4, 5, 3, 6, 4, 5, 3, 4], [7, 2, 6, 3, 5, 4, 6, 3]):
        problem = Problem(instance=instance_from_lists(works, row), stages=3)
        optimum = brute_force_optimum(problem)
        dual = run_entry(entry, problem)[0].dual
        if dual is None or dual.certificate is None or "rounds" not in dual.certificate.data:
            continue
        assert dual.value <= entry.check(problem, dual.certificate) <= optimum
        steps = steps_of(dual.certificate, np.arange(problem.instance.n)[::-1].copy())
        assert steps is not None
        assert steps[0].rule == "threshold-contract"
        written += 1
    assert written

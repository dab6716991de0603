"""Rounds of fixing: the checker finds in the cores what the solver found, and refuses what it cannot find."""

from __future__ import annotations

import numpy as np
import pytest

from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.board import Board
from framework.portfolio.context.contracted_decisions import ContractedDecisions
from framework.portfolio.context.local import LocalContext, run_entry
from framework.portfolio.logs.write import steps_of
from framework.proof.check import proven_by
from framework.proof.cores.fixing import PARTS, filtered, fixing
from framework.proof.problem import RefusedError, plain_problem
from framework.proof.reductions import contract, merge
from framework.registry import load_plugins, registry
from framework.structure.filtering.rounds import FixedProblems
from framework.structure.filtering.tuning import FilterTuning
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance
from strategies.fixing import CHECKABLE, _Search
from tests.proof.test_cores import narrowed

SMALL = FilterTuning(first_ideals=6, max_ideals=48, growth=2)


def part(rounds: tuple[list[int], ...], name: str) -> list[list[int]]:
    """Return one part of every round."""
    return list(rounds[PARTS.index(name) :: len(PARTS)])


def test_rounds_of_the_solver_hold_and_refute_no_optimum() -> None:
    arcs = rounds_made = closed = 0
    for drawn, instance in narrowed(24, first=900, max_nodes=8):
        problem = drawn.on(instance)
        if problem.useful_stages == 1:
            continue
        seen, optimum = plain_problem(instance, problem.stages), brute_force_optimum(problem)
        fixed = FixedProblems(problem, SMALL)
        refuted, rounds = fixed.fix(optimum - 1, 3), fixed.rounds(optimum - 1)
        bound, words = fixing(seen, optimum - 1, rounds=rounds, plain=True)
        assert bound == optimum
        assert not refuted or words.startswith("nothing is left")
        with pytest.raises(RefusedError):
            fixing(seen, optimum, rounds=rounds, plain=True)
        closed += refuted
        rounds_made += len(rounds) // len(PARTS)
        arcs += sum(len(row) for row in part(rounds, "arcs"))
    assert closed > 5
    assert rounds_made > closed
    assert arcs > 10


def branches(count: int, work: int = 4) -> Problem:
    """Return a problem in which so many nodes between two others can be exchanged."""
    nodes = range(1, count + 1)
    tensors = [(0, 2, list(nodes)), *((v, 1, [count + 1]) for v in nodes)]
    return Problem(instance=instance_from_lists([6] + [work] * count + [5], tensors), stages=2)


def test_branches_are_put_in_order_if_they_can_be_exchanged() -> None:
    problem = branches(4)
    seen, optimum = plain_problem(problem.instance, 2), brute_force_optimum(problem)
    rounds = [[optimum - 1], *([[]] * 8), [4, 1, 0, 1, 2, 3, 4]]
    bound, words = fixing(seen, optimum - 1, rounds=rounds)
    assert bound == optimum
    # In order they have 5 ideals, with what comes before and after them 7, and not 18.
    assert "7 ideals" in words
    for wrong in (
        [4, 1, 0, 0, 1, 2, 3],
        [2, 1, 0, 1, 1],
        [2, 1, 1, 1, 2],
        [3, 1, 0, 1, 2],
        [2, 1, 0, 1, 2, 2, 1, 0, 2, 3],
    ):
        with pytest.raises(RefusedError):
            fixing(seen, optimum - 1, rounds=[*rounds[:-1], wrong])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("threshold", []),
        ("threshold", [0]),
        ("arcs", [3, 0]),
        ("arcs", [1, 2]),
        ("order", [1, 0, 2, 3]),
        ("ways", [0]),
        ("ways", []),
        ("moves", [0, 3]),
        ("fluid", [9]),
    ],
)
def test_what_a_core_does_not_show_is_refused(name: str, value: list[int]) -> None:
    seen = plain_problem(branches(2).instance, 2)
    rounds = {"threshold": [20], "order": [0, 1, 2, 3], "fluid": [], "ways": [0, 1], "arcs": [1, 3]}
    threshold = brute_force_optimum(branches(2)) - 1
    lists = [rounds.get(part, []) for part in PARTS]
    assert fixing(seen, threshold, rounds=lists)[0] == threshold + 1
    lists[PARTS.index(name)] = value
    with pytest.raises(RefusedError):
        fixing(seen, threshold, rounds=lists)


def test_the_entry_writes_certificates_that_it_accepts() -> None:
    load_plugins()
    entry, written = registry.create("fixing:over=core-fluid"), 0
    for drawn, instance in narrowed(6, first=950, max_nodes=8):
        problem = drawn.on(instance)
        dual = run_entry(entry, problem)[0].dual
        if dual is not None and dual.certificate is not None:
            assert dual.value <= entry.check(problem, dual.certificate) <= brute_force_optimum(problem)
            written += 1
    assert written


def test_what_is_left_is_refuted_by_linear_programs_that_the_checker_follows() -> None:
    load_plugins()
    entry, ended, tuning = registry.create("fixing"), 0, FilterTuning(first_ideals=12, max_ideals=12)
    for seed in range(3):
        problem = Problem(instance=random_layered_instance(seed, 24, width=3), stages=2)
        incumbent = run_entry(registry.create("few-ideals"), problem)[0].incumbent
        assert incumbent is not None
        threshold, context = incumbent.value - 1, LocalContext(Board(problem, clock=lambda: 0.0), "test", seconds=20.0)
        decisions = ContractedDecisions(registry.create_decision(CHECKABLE), problem, fix=tuning)
        if decisions.fix(threshold, 0, context):
            continue
        search = _Search(problem, context, decisions, [])
        search._settle(threshold, 20.0)
        assert search.best is not None
        certificate = search.best.certificate
        assert certificate is not None
        steps = steps_of(certificate, np.arange(problem.instance.n))
        assert steps is not None
        assert [step.rule for step in steps] == ["filter", "lp-dual"]
        assert proven_by(plain_problem(problem.instance, problem.stages), steps) == incumbent.value
        assert entry.check(problem, certificate) == incumbent.value
        ended += 1
    assert ended


def test_windows_come_with_what_a_filter_leaves() -> None:
    problem = branches(2)
    seen, optimum = plain_problem(problem.instance, 2), brute_force_optimum(problem)
    lists = {"threshold": [optimum], "order": [0, 1, 2, 3], "fluid": [], "ways": [0, 1], "arcs": []}
    left = filtered(seen, optimum, rounds=[lists.get(part, []) for part in PARTS])
    assert left.windows[0][0] == 1
    assert left.windows[-1][1] == 2
    assert any(first < last for first, last in left.windows) or left.windows[0] != left.windows[-1]
    # Whatever makes other nodes or stages forgets them.
    assert contract(left, []).windows == ()
    assert merge(left, 2).windows == ()
    with pytest.raises(RefusedError):
        filtered(seen, optimum - 1, rounds=[(lists | {"threshold": [optimum]}).get(part, []) for part in PARTS[1:]])

"""anchored-cut against enumeration, published optima, and tampering with its certificates."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from formulations.anchored_cut import AnchoredCut
from framework.bounds import DualBound, Limit, Outcome, Reason, Soundness
from framework.formats import read_graph
from framework.model.instance import UNLIMITED, instance_from_lists
from framework.model.pricing import price
from framework.model.problem import Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.structure.flow.convex_cuts import is_convex, set_cost
from framework.structure.poset.closure import closure
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem, random_shared_problem


def _run(problem: Problem, **parameters: Any) -> tuple[Outcome, Board]:
    return run_entry(AnchoredCut(**parameters), problem, name="anchored-cut")


def _cheapest_convex_sets(problem: Problem) -> int:
    """Return max over v of min f(S) over the convex sets S that hold v, by enumeration."""
    instance = problem.instance
    reach = closure(instance)
    cheapest = [UNLIMITED] * instance.n
    for size in range(1, instance.n + 1):
        for nodes in itertools.combinations(range(instance.n), size):
            members = np.array(nodes, np.int64)
            if is_convex(members, reach):
                cost = set_cost(instance, members)
                for v in nodes:
                    cheapest[v] = min(cheapest[v], cost)
    return max(cheapest)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=250, derandomize=True, deadline=None)
def test_between_simple_and_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    outcome, board = _run(problem)
    assert outcome.termination.reason is Reason.FINISHED
    assert not board.contradictions
    if outcome.dual is None:
        return
    assert outcome.dual.soundness is Soundness.EXACT
    assert simple_bound(problem) < outcome.dual.value <= brute_force_optimum(problem)
    assert outcome.dual.value <= _cheapest_convex_sets(problem)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=250, derandomize=True, deadline=None)
def test_partitions_around_the_binding_set_cost_what_is_said(seed: int) -> None:
    problem = random_problem(seed)
    found = _run(problem)[0].incumbent
    if found is not None:
        assert bottleneck(problem, found.partition) == found.value >= brute_force_optimum(problem)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=250, derandomize=True, deadline=None)
def test_shared_parameters_count_once_and_never_weaken_it(seed: int) -> None:
    problem = random_shared_problem(seed).without_limit()
    outcome, board = run_entry(AnchoredCut(), problem, name="anchored-cut")
    assert not board.contradictions
    proven = simple_bound(problem) if outcome.dual is None else outcome.dual.value
    charged, _ = _run(problem.charged())
    assert proven >= (0 if charged.dual is None else charged.dual.value)
    assert proven <= brute_force_optimum(problem)
    if outcome.dual is not None:
        assert proven <= _cheapest_convex_sets(problem)
        assert outcome.dual.certificate is not None
        assert outcome.dual.certificate.instance == problem.instance.sha256()
        assert AnchoredCut().check(problem, outcome.dual.certificate) == proven


def test_all_users_of_a_shared_parameter_pay() -> None:
    # Dear tensors glue 0 to 1 and 2 to 3; each pair holds the parameter of 9 ticks, and one user alone would not.
    tensors = [(0, 100, [1]), (1, 1, [2]), (2, 100, [3])]
    instance = instance_from_lists([1, 1, 2, 2], tensors, capacity=0, shared=[(9, [0, 3])])
    problem = Problem(instance=instance, stages=4)
    outcome, _ = _run(problem)
    assert outcome.dual is not None
    assert outcome.dual.value == brute_force_optimum(problem) == 14
    assert _cheapest_convex_sets(problem.charged()) == 14
    assert _cheapest_convex_sets(problem) == 14


def test_one_dear_stage_is_found_and_proven() -> None:
    # Node 4 reads dear tensors of 2 and 3, so {2, 3, 4} is its stage; in the given order 1 lies between 0 and 2, and
    # no slicing of that keeps all others below its cost.
    instance = instance_from_lists(
        [1, 50, 10, 10, 20, 50],
        [(0, 30, [2]), (2, 200, [4]), (3, 200, [4]), (1, 30, [5]), (4, 30, [5])],
    )
    problem = Problem(instance=instance, stages=4)
    outcome, _ = _run(problem)
    assert outcome.dual is not None
    assert outcome.incumbent is not None
    assert outcome.dual.value == outcome.incumbent.value == brute_force_optimum(problem)


def test_it_is_exact_where_paths_are_all_that_convexity_is() -> None:
    # On a chain the sets closed around an anchor are the convex ones.
    rng = np.random.default_rng(4)
    for _ in range(20):
        n = 8
        chain = [(v, int(rng.integers(0, 30)), [v + 1]) for v in range(n - 1)]
        instance = instance_from_lists(rng.integers(0, 20, n).tolist(), chain)
        problem = Problem(instance=instance, stages=n)
        outcome, _ = _run(problem)
        found = simple_bound(problem) if outcome.dual is None else outcome.dual.value
        assert found == max(simple_bound(problem), _cheapest_convex_sets(problem))


def test_parameters_are_worth_their_overflow() -> None:
    # Dear tensors glue 0 and 1; together they exceed the capacity by 8.
    instance = instance_from_lists([1, 1, 1], [(0, 100, [1]), (1, 1, [2])], parameter_cost=[9, 9, 0], capacity=10)
    problem = Problem(instance=instance, stages=3)
    outcome, _ = _run(problem)
    assert outcome.dual is not None
    assert outcome.dual.value == brute_force_optimum(problem) == 11


def test_convexity_raises_the_bound() -> None:
    # Without it {0, 3} would leave out the heavy 1 and 2 on the paths between them.
    instance = instance_from_lists([1, 50, 50, 1], [(0, 200, [3]), (0, 0, [1]), (1, 0, [2]), (2, 0, [3])])
    problem = Problem(instance=instance, stages=4)
    outcome, _ = _run(problem)
    assert outcome.dual is not None
    assert outcome.dual.value == brute_force_optimum(problem) == 102


@pytest.mark.parametrize(
    ("file", "stages", "optimum"),
    [("OperatorGraphs/bert_l-3", 8, 27.1861), ("OperatorGraphs/bert_l-6", 8, 27.1861)],
)
def test_it_proves_published_optima(shared_data: Path, file: str, stages: int, optimum: float) -> None:
    instance = price(read_graph(shared_data / "dnn-partitioning" / f"{file}_inference.json"))
    outcome, _ = _run(Problem(instance=reduce_exact(instance), stages=stages))
    assert outcome.dual is not None
    assert instance.in_units(outcome.dual.value) == pytest.approx(optimum, rel=1e-5)


def _bound_with_certificate(seed: int) -> tuple[Problem, DualBound]:
    problem = random_problem(seed)
    outcome, _ = _run(problem)
    assume(outcome.dual is not None)
    assert outcome.dual is not None
    return problem, outcome.dual


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_certificates_survive_no_mutation_that_would_raise_the_bound(seed: int) -> None:
    problem, bound = _bound_with_certificate(seed)
    certificate = bound.certificate
    assert certificate is not None
    assert AnchoredCut().check(problem, certificate) == bound.value
    rng = np.random.default_rng([seed, 9])
    flow = list(certificate.data["flow"])
    i = int(rng.integers(0, len(flow)))
    for change in (1, -1, 10**6):
        changed = replace(certificate, data={**certificate.data, "flow": [*flow[:i], flow[i] + change, *flow[i + 1 :]]})
        with pytest.raises(ValueError, match="flow"):
            AnchoredCut().check(problem, changed)
    doubled = replace(certificate, data={**certificate.data, "flow": [2 * amount for amount in flow]})
    with pytest.raises(ValueError, match="capacity"):
        AnchoredCut().check(problem, doubled)
    for key, value in (("anchor", problem.instance.n), ("anchor", -1), ("theta_64", 65), ("theta_64", -1)):
        with pytest.raises(ValueError, match="out of range"):
            AnchoredCut().check(problem, replace(certificate, data={**certificate.data, key: value}))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_whatever_a_changed_certificate_proves_is_true(seed: int) -> None:
    problem, bound = _bound_with_certificate(seed)
    assert bound.certificate is not None
    optimum = brute_force_optimum(problem)
    for anchor in range(problem.instance.n):
        for share in (0, 32, 64):
            changed = replace(bound.certificate, data={**bound.certificate.data, "anchor": anchor, "theta_64": share})
            try:
                proved = AnchoredCut().check(problem, changed)
            except ValueError:
                continue
            assert proved <= optimum


def _dear_transfers(pairs: int) -> Problem:
    """A problem where the pairs that look most promising prove least, so that every pair is looked at."""
    tensors = [(2 * j, 10_000 - j, [2 * j + 1]) for j in range(pairs)]
    work = [1 + j for j in range(pairs) for _ in range(2)]
    return Problem(instance=instance_from_lists(work, tensors), stages=2 * pairs)


def test_it_keeps_what_it_has_when_the_time_is_up() -> None:
    problem = _dear_transfers(100)
    board = Board(problem, clock=lambda: 0.0)
    late = LocalContext(board, "anchored-cut", seconds=0.0)
    outcome = AnchoredCut().bound(problem, late)
    assert outcome.termination.limit is Limit.TIME
    calls = itertools.count()
    stopping = LocalContext(board, "anchored-cut", cancelled=lambda: next(calls) > 80)
    outcome = AnchoredCut().bound(problem, stopping)
    assert outcome.termination.limit is Limit.TIME
    assert outcome.dual is not None
    assert board.dual is not None
    assert board.dual.value == outcome.dual.value < 200
    limited, _ = _run(problem, max_anchors=3)
    assert limited.termination.limit is Limit.ITERATIONS
    assert limited.details["anchors"] == 3


def test_it_starts_from_the_shared_bound() -> None:
    problem = _dear_transfers(30)
    reference, _ = _run(problem)
    assert reference.dual is not None
    assert reference.dual.value == 60
    board = Board(problem, clock=lambda: 0.0)
    board.report_dual(reference.dual.value, source="test", soundness=Soundness.EXACT)
    again, _ = run_entry(AnchoredCut(), problem, board=board)
    assert again.dual is None
    assert again.details["cuts"] == reference.details["cuts"] == 30


def test_bad_parameters() -> None:
    with pytest.raises(ValueError, match="max_anchors"):
        AnchoredCut(max_anchors=-1)

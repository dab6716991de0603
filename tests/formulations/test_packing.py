"""packing is never above the optimum, proves what averages do not, and its certificates are checked over all nodes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations.packing import Packing
from framework.bounds import Certificate, Soundness
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem


def cells(count: int, work: int, parameters: int = 0, capacity: int = 1 << 60) -> Instance:
    """A chain of equal nodes, whose tensors cost nothing."""
    return instance_from_lists(
        [work] * count,
        [(v, 0, [v + 1]) for v in range(count - 1)],
        parameter_cost=[parameters] * count,
        capacity=capacity,
    )


@pytest.mark.parametrize(
    ("instance", "stages", "simple", "bound"),
    [
        # 22 nodes in 7 stages: 3.14 each, so that some stage holds 4.
        (cells(22, 100), 7, 315, 400),
        # 4 nodes a stage hold 24 of parameters, 4 more than fit; with 3 in every stage one is left over.
        (cells(22, 10, 6, 20), 7, 32, 44),
        # Four large nodes in three stages: two of them share one.
        (instance_from_lists([60, 61, 60, 61, 2, 2], []), 3, 82, 120),
    ],
)
def test_whole_nodes_prove_more_than_averages(instance: Instance, stages: int, simple: int, bound: int) -> None:
    problem = Problem(instance=instance, stages=stages)
    assert simple_bound(problem) == simple
    outcome, board = run_entry(Packing(), problem)
    assert outcome.dual is not None
    assert outcome.dual.value == bound
    assert outcome.dual.soundness is Soundness.EXACT
    assert outcome.dual.certificate is not None
    assert Packing().check(problem, outcome.dual.certificate) == bound
    assert not board.contradictions


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=300, derandomize=True, deadline=None)
def test_it_is_never_above_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    outcome, _ = run_entry(Packing(), problem)
    if outcome.dual is not None:
        assert simple_bound(problem) < outcome.dual.value <= brute_force_optimum(problem)


@given(
    st.lists(st.integers(0, 30), min_size=1, max_size=8),
    st.lists(st.integers(0, 30), min_size=8, max_size=8),
    st.integers(0, 60),
    st.integers(1, 5),
)
@settings(max_examples=300, derandomize=True, deadline=None)
def test_independent_nodes_with_overflow(work: list[int], parameters: list[int], capacity: int, stages: int) -> None:
    instance = instance_from_lists(work, [], parameter_cost=parameters[: len(work)], capacity=capacity)
    problem = Problem(instance=instance, stages=stages)
    outcome, _ = run_entry(Packing(), problem)
    assert outcome.dual is None or outcome.dual.value <= brute_force_optimum(problem)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2), st.integers(1, 200), st.integers(0, 1), st.integers(0, 300))
@settings(max_examples=500, derandomize=True, deadline=None)
def test_no_function_proves_too_much(
    seed: int, family: int, parameter: int, with_parameters: int, threshold: int
) -> None:
    """Whatever function a certificate names, it does not refute a threshold that is possible."""
    problem = random_problem(seed)
    data = {"threshold": threshold, "with_parameters": with_parameters, "family": family, "parameter": parameter}
    certificate = Certificate(kind="packing", data=data, instance=problem.instance.sha256())
    try:
        proven = Packing().check(problem, certificate)
    except ValueError:
        return
    assert proven == threshold + 1 <= brute_force_optimum(problem)


@pytest.mark.parametrize(
    "change", [{"family": 3}, {"parameter": 0}, {"threshold": 400}, {"parameter": 0.5}, {"more": 1}]
)
def test_certificates_are_not_believed(change: dict[str, float]) -> None:
    problem = Problem(instance=cells(22, 100), stages=7)
    outcome, _ = run_entry(Packing(), problem)
    assert outcome.dual is not None
    certificate = outcome.dual.certificate
    assert certificate is not None
    changed = Certificate(kind="packing", data={**certificate.data, **change}, instance=certificate.instance)
    with pytest.raises(ValueError, match=r"."):
        Packing().check(problem, changed)

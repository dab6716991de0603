"""tensor-count is never above the optimum, never below simple, and is the optimum of a balanced star."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from formulations.tensor_count import TensorCount
from framework.bounds import Reason, Soundness
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.primal.tensor_count import tensor_count_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem


def star(leaves: int, cost: int) -> Instance:
    """A node of no work, whose one tensor all others read; each of them has a work of 3."""
    return instance_from_lists([0] + [3] * leaves, [(0, cost, list(range(1, leaves + 1)))])


def test_a_star_pays_its_tensor_in_every_stage() -> None:
    # Twelve of 3 in four stages: 9 each, and the tensor.
    problem = Problem(instance=star(12, 5), stages=4)
    assert simple_bound(problem) == 9
    assert tensor_count_bound(problem) == 14
    # Dear enough for one stage to hold everything.
    assert tensor_count_bound(Problem(instance=star(12, 100), stages=4)) == 36
    even = Problem(instance=star(6, 2), stages=3)
    assert tensor_count_bound(even) == brute_force_optimum(even) == 8


def test_it_carries_a_certificate() -> None:
    problem = Problem(instance=star(12, 5), stages=4)
    outcome, _ = run_entry(TensorCount(), problem)
    assert outcome.termination.reason is Reason.FINISHED
    assert outcome.dual is not None
    assert outcome.dual.soundness is Soundness.EXACT
    assert outcome.dual.certificate is not None
    assert TensorCount().check(problem, outcome.dual.certificate) == outcome.dual.value == 14


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=200, derandomize=True, deadline=None)
def test_it_is_between_simple_and_the_optimum(seed: int) -> None:
    problem = random_problem(seed)
    assert simple_bound(problem) <= tensor_count_bound(problem) <= brute_force_optimum(problem)


@given(
    st.lists(st.integers(0, 6), min_size=2, max_size=6),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(1, 4),
    st.integers(0, 3),
)
@settings(max_examples=200, derandomize=True, deadline=None)
def test_dear_shared_tensors(work: list[int], first: int, second: int, stages: int, capacity: int) -> None:
    n = len(work)
    tensors = [(0, first, list(range(1, n)))] + ([(1, second, list(range(2, n)))] if n > 2 else [])
    instance = instance_from_lists(work, tensors, parameter_cost=[1] * n, capacity=capacity)
    problem = Problem(instance=instance, stages=stages)
    assert tensor_count_bound(problem) <= brute_force_optimum(problem)

"""Cores of growing size: none refutes what a partition reaches, and the last one, without fluid, decides."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.problem import Problem, bottleneck
from framework.structure.fluid.hierarchy import CoreHierarchy, ReadyCore, VariantOrder
from framework.structure.fluid.variants import PLAIN, Counted, Variant
from framework.structure.primal.initial_interval import simple_bound
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem
from tests.structure.plain_definitions import stage_vectors

SEEDS = st.integers(0, 2**32 - 1)


def never() -> bool:
    """Stop never."""
    return False


def _hierarchy(problem: Problem, threshold: int, *, first_ideals: int = 2, max_ideals: int = 10_000) -> CoreHierarchy:
    return CoreHierarchy(
        problem.instance,
        simple_bound(problem),
        threshold,
        problem.useful_stages,
        first_ideals=first_ideals,
        max_ideals=max_ideals,
        should_stop=never,
    )


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_no_core_refutes_the_optimum_and_the_last_one_all_below(seed: int) -> None:
    problem = random_problem(seed, max_nodes=7)
    optimum, k = brute_force_optimum(problem), problem.useful_stages
    hierarchy = _hierarchy(problem, optimum)
    cores: list[ReadyCore] = []
    for core in hierarchy.cores(lambda: float("inf"), never):
        cores.append(core)
        below = optimum and core.refute(k, optimum - 1, never) is None
        plan = core.refute(k, optimum, never)
        assert plan is not None
        # What is allowed at one threshold need not be asked for at a higher one.
        steps = core.search.steps
        assert core.refute(k, optimum + 5, never) is not None
        assert core.search.steps == steps
        found = core.complete(problem, plan, 0, never)
        assert tuple(found.stage_of.tolist()) in stage_vectors(problem.instance, k)
        assert bottleneck(problem, found) >= optimum
        hierarchy.rate(core, optimum if below else max(0, optimum - 1))
        if core.exact:
            assert bool(below) == (optimum > 0)
    assert cores[-1].exact
    assert not any(core.exact for core in cores[:-1])
    # Those that are known come again, in the same order.
    assert list(hierarchy.cores(lambda: float("inf"), never)) == cores


@given(SEEDS)
@settings(max_examples=20, derandomize=True, deadline=None)
def test_cores_keep_to_their_number_of_ideals(seed: int) -> None:
    problem = random_problem(seed, max_nodes=7)
    hierarchy = _hierarchy(problem, brute_force_optimum(problem), first_ideals=3, max_ideals=6)
    sizes = [len(core.search.lattice) for core in hierarchy.cores(lambda: float("inf"), never)]
    assert sizes
    assert max(sizes) <= 6


def test_a_variant_that_refutes_is_tried_first_from_then_on() -> None:
    order = VariantOrder(most_misses=2)
    work, parameters = (Variant(counted=counted) for counted in (Counted.WORK, Counted.ALL_PARAMETERS))
    whole = Variant(grain=5)
    variants = (work, parameters, whole)
    assert order.of(variants) == [work, parameters, whole]
    order.prefer(whole)
    order.prefer(parameters)
    assert order.of(variants) == [parameters, whole, work]
    assert order.of((work, whole)) == [whole, work]


def test_whole_nodes_that_never_refute_anything_are_given_up() -> None:
    order = VariantOrder(most_misses=2)
    plain, whole, other = Variant(), Variant(grain=5), Variant(grain=7)
    order.prefer(other)
    for _ in range(2):
        assert whole in order.of((plain, whole, other))
        for variant in (plain, whole, other):
            order.miss(variant)
    assert order.of((plain, whole, other)) == [other, plain]


def test_ties_are_tried_where_the_same_without_them_has_refuted_something_last() -> None:
    order, tied, parameters = VariantOrder(3), Variant(tied=True), Variant(counted=Counted.ALL_PARAMETERS)
    assert order.of([PLAIN, parameters, tied]) == [PLAIN, parameters]
    order.prefer(PLAIN)
    assert order.of([PLAIN, parameters, tied]) == [PLAIN, parameters, tied]
    order.prefer(parameters)
    assert order.of([PLAIN, parameters, tied]) == [parameters, PLAIN]
    order.prefer(tied)
    assert order.of([PLAIN, parameters, tied]) == [tied, parameters, PLAIN]

"""A woven graph is the graph with more order: its partitions cost the same, and the given one is among them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, bottleneck
from framework.structure.ideals.chain_dp import ChainSearch
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.poset.closure import closure
from framework.structure.poset.topological_orders import OrderKind, topological_order
from framework.structure.reduction.contraction import lift
from framework.structure.reduction.two_chain_order import TwoChains
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_limited_problem, random_problem

SEEDS = st.integers(0, 2**32 - 1)


def never() -> bool:
    return False


@settings(derandomize=True, deadline=None, max_examples=100)
@given(SEEDS)
def test_partitions_of_a_woven_graph_cost_the_same_in_the_graph(seed: int) -> None:
    problem = random_problem(seed)
    rng = np.random.default_rng([seed, 5])
    wide = rng.random(problem.instance.n) < 0.5
    order = topological_order(problem.instance, OrderKind.DFS, reverse=bool(rng.integers(2)))
    woven = TwoChains(problem.instance, never).restrict(
        order, wide, deadlines=bool(rng.integers(2)), main_chain=bool(rng.integers(2))
    )
    lattice = enumerate_ideals(woven, max_ideals=100_000)
    found = ChainSearch(woven, lattice).decide(problem.useful_stages, problem.instance.largest_cost, never)
    assert found is not None
    lifted = lift(found, woven)
    assert bottleneck(problem, lifted) == bottleneck(Problem(instance=woven, stages=problem.stages), found)
    assert bottleneck(problem, lifted) >= brute_force_optimum(problem)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(SEEDS)
def test_what_slices_the_order_is_still_there(seed: int) -> None:
    problem = random_problem(seed)
    instance = problem.instance
    rng = np.random.default_rng([seed, 6])
    order = topological_order(instance, OrderKind.GREEDY_MIN_CUT)
    stage_of = np.empty(instance.n, np.int64)
    stage_of[order] = np.sort(rng.integers(problem.useful_stages, size=instance.n))
    value = bottleneck(problem, Partition(stage_of=stage_of))
    woven = TwoChains(instance, never).restrict(order, rng.random(instance.n) < 0.5, deadlines=False, main_chain=True)
    lattice = enumerate_ideals(woven, max_ideals=100_000)
    assert ChainSearch(woven, lattice).decide(problem.useful_stages, value, never) is not None


def test_a_limit_and_its_anchors_follow_their_nodes() -> None:
    for seed in range(40):
        instance = random_limited_problem(seed).instance
        limit = instance.stage_limit
        assert limit is not None
        order = topological_order(instance, OrderKind.BFS)
        woven = TwoChains(instance, never).restrict(
            order, np.zeros(instance.n, np.bool_), deadlines=True, main_chain=True
        )
        assert woven.stage_limit is not None
        assert woven.stage_limit.sizes[woven.node_of_input].tolist() == limit.sizes.tolist()
        assert woven.stage_limit.anchors.tolist() == woven.node_of_input[limit.anchors].tolist()


def test_nothing_left_has_more_beside_it_than_allowed() -> None:
    instance = random_layered_instance(2, 120, width=6)
    reach = closure(instance)
    restriction = TwoChains(instance, never)
    sizes = []
    for share in (1.0, 0.1, 0.01, 0.0):
        wide = restriction.choose_side_chain(np.ones(instance.n), share * restriction.total_weight)
        left = np.flatnonzero(~wide)
        for v in left.tolist():
            beside = [
                u for u in left.tolist() if u != v and not reach.is_ancestor(u, v) and not reach.is_ancestor(v, u)
            ]
            assert instance.work[beside].sum() <= share * restriction.total_weight
        sizes.append(len(left))
    assert sizes[0] == instance.n
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] > 10


def test_a_woven_graph_of_two_chains_has_few_ideals() -> None:
    instance = random_layered_instance(4, 200, width=8)
    restriction = TwoChains(instance, never)
    wide = restriction.choose_side_chain(np.ones(instance.n), 0.0)
    order = topological_order(instance, OrderKind.GIVEN)
    woven = restriction.restrict(order, wide, deadlines=True, main_chain=True)
    lattice = enumerate_ideals(woven, max_ideals=100_000)
    assert lattice.complete
    assert len(lattice) <= (int(wide.sum()) + 1) * (int((~wide).sum()) + 1)
    assert not enumerate_ideals(instance, max_ideals=len(lattice)).complete


def test_stopping_is_an_error() -> None:
    with pytest.raises(OutOfTimeError):
        TwoChains(random_layered_instance(4, 200), lambda: True)

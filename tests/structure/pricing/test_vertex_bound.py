"""One vertex of the pricing tree against all stages that keep its roles, and the walk from vertex to vertex."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.pricing import price
from framework.structure.poset.closure import closure
from framework.structure.pricing.branch_and_bound import StagePricer
from framework.structure.pricing.network import FREE, IN, OUT
from framework.structure.pricing.propagation import NO_RULES
from framework.structure.pricing.tree import (
    ANCHOR,
    DEPTH,
    NO_NODE,
    Outcome,
    new_search,
    open_anchor,
    step,
)
from framework.structure.pricing.vertex_bound import MAGNITUDE, bound_vertex
from framework.testbed.random_graphs import regal_graph
from framework.testing.brute_force import stage_cost
from tests.structure.plain_definitions import convex_sets, mixed_instance, worth
from tests.structure.pricing.test_network import keeps

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
@settings(max_examples=80, derandomize=True, deadline=None)
def test_a_vertex_bounds_the_stages_that_keep_its_roles(seed: int) -> None:
    rng = np.random.default_rng([seed, 5])
    instance = mixed_instance(seed, max_nodes=6)
    pricer = StagePricer(instance, closure(instance))
    costs = {members: stage_cost(instance, members) for members in convex_sets(instance)}
    threshold = max(0, int(rng.choice(list(costs.values()))) - int(rng.integers(0, 2)))
    prices = rng.integers(-5, 40, instance.n)
    search = new_search(np.arange(instance.n), max_columns=1, log_size=1)
    for roles in ([IN, FREE, FREE, OUT],) * 6 + ([IN, OUT],) * 6:
        search.roles[:] = rng.choice(roles, instance.n)
        search.roles[int(rng.integers(instance.n))] = IN
        fitting = [x for x, cost in costs.items() if cost <= threshold and keeps(x, search.roles)]
        best = max([worth(members, prices.tolist()) for members in fitting], default=-(1 << 40))
        theta = max(0, best + int(rng.integers(-3, 4)))
        # To settle a vertex at theta, or just to bound it.
        for least, wanted in ((theta, theta), (-1, MAGNITUDE)):
            search.counters[DEPTH] = 0
            search.start[0] = float(rng.choice([0.1, 1.0, 8.0])), 0.0
            claim = pricer.claim(prices, threshold, least)._replace(wanted=wanted)
            vertex = bound_vertex(pricer.model(NO_RULES), search, claim)
            if vertex.outcome == Outcome.PRUNED:
                assert best <= least
            elif vertex.outcome == Outcome.FOUND:
                members = sum(1 << v for v in np.flatnonzero(search.low).tolist())
                assert members in fitting
                assert worth(members, prices.tolist()) > wanted
            else:
                assert vertex.outcome == Outcome.OPEN
                assert vertex.bound >= best
                # There is something left to branch on, unless only a bound was wanted: no vertex is left out.
                assert wanted == MAGNITUDE or pricer.network.status[vertex.choice] == FREE


@pytest.mark.parametrize("start", [0.0, 1e-9, 1e-3, 1e3, 1e9, np.inf])
def test_a_vertex_is_pruned_from_any_multiplier(start: float) -> None:
    instance = price(regal_graph("er", 40, 1))
    pricer, threshold = StagePricer(instance, closure(instance)), instance.total_work // 4
    model, search = pricer.model(NO_RULES), new_search(np.arange(instance.n), max_columns=1, log_size=1)
    prices = instance.work * (1 + np.arange(instance.n) % 3)
    for anchor in range(0, instance.n, 5):
        search.counters[ANCHOR] = anchor
        open_anchor(search)
        search.start[0] = 1.0, 0.0
        best = bound_vertex(model, search, pricer.claim(prices, threshold, -1)._replace(wanted=MAGNITUDE)).bound
        # Within a few cuts the bound is nearly reached, wherever the search for the multiplier begins.
        search.start[0] = start, 0.0
        vertex = bound_vertex(model, search, pricer.claim(prices, threshold, best + best // 10))
        assert vertex.outcome == Outcome.PRUNED
        assert vertex.num or vertex.den


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_the_walk_meets_every_choice_once(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 6))
    order = rng.permutation(n)
    search = new_search(order, max_columns=1, log_size=1)
    met = []
    for at in range(n):
        search.counters[ANCHOR] = at
        open_anchor(search)
        more = True
        while more:
            free = np.flatnonzero(search.roles == FREE)
            if not len(free):
                met.append(tuple((search.roles == IN).tolist()))
            depth = int(search.counters[DEPTH])
            more = step(search, int(rng.choice(free)) if len(free) else NO_NODE)
            assert not len(free) or (more and search.counters[DEPTH] == depth + 1)
        assert search.counters[DEPTH] == 0
        assert [v for v in range(n) if search.roles[v] != FREE] == sorted(order[: at + 1].tolist())
    # Each set but the empty one belongs to the first of its members in the order.
    assert sorted(met) == [x for x in itertools.product((False, True), repeat=n) if any(x)]

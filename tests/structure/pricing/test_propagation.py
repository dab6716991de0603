"""Closing of roles: no stage that keeps the roles is lost, and without rules nothing more could be said."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.structure.poset.closure import closure
from framework.structure.pricing.network import FREE, IN, OUT, network_for, shape_of
from framework.structure.pricing.propagation import NO_RULES, close_roles, rules_of
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_instance
from tests.structure.plain_definitions import convex_sets, nodes_of
from tests.structure.pricing.test_network import keeps

SEEDS = st.integers(0, 2**32 - 1)


@given(SEEDS)
@settings(max_examples=40, derandomize=True, deadline=None)
def test_convexity_is_closed_under_exactly(seed: int) -> None:
    rng = np.random.default_rng([seed, 6])
    instance = random_instance(seed, max_nodes=7)
    shape = shape_of(instance, closure(instance))
    network = network_for(shape)
    convex = [0, *convex_sets(instance)]
    for _ in range(8):
        roles = rng.choice([IN, FREE, FREE, OUT], instance.n).astype(np.int8)
        fitting = [members for members in convex if keeps(members, roles)]
        assert close_roles(shape, NO_RULES, roles, network) == bool(fitting)
        if not fitting:
            continue
        held = [[members >> v & 1 for members in fitting] for v in range(instance.n)]
        wanted = [IN if all(row) else FREE if any(row) else OUT for row in held]
        assert network.status.tolist() == wanted
        assert not network.opened.any()


@given(SEEDS)
@settings(max_examples=40, derandomize=True, deadline=None)
def test_rules_lose_no_stage_and_open_no_net_that_one_covers(seed: int) -> None:
    rng = np.random.default_rng([seed, 7])
    instance = random_instance(seed, max_nodes=6)
    n, shape = instance.n, shape_of(instance, closure(instance))
    network = network_for(shape)
    nets = [
        sum(1 << int(v) for v in shape.net_pins[shape.net_ptr[t] : shape.net_ptr[t + 1]])
        for t in range(len(shape.net_cost))
    ]
    costs = {members: stage_cost(instance, members) for members in convex_sets(instance)}
    threshold = int(rng.choice(list(costs.values())))
    stages = [members for members, cost in costs.items() if cost <= threshold]
    apart, uncovered = np.ones((n, n), np.bool_), np.ones((n, len(nets)), np.bool_)
    for members in stages:
        apart[np.ix_(nodes_of(members), nodes_of(members))] = False
        for t, net in enumerate(nets):
            if net & ~members == 0:
                uncovered[nodes_of(members), t] = False
    rules = rules_of(apart, uncovered)
    for _ in range(8):
        roles = rng.choice([IN, FREE, FREE, FREE, OUT], n).astype(np.int8)
        fitting = [members for members in stages if keeps(members, roles)]
        possible = close_roles(shape, rules, roles, network)
        inside = np.flatnonzero(roles == IN)
        # A pair apart that is in, or a node in that is in no stage, is a clash that must be seen.
        assert not possible or not apart[np.ix_(inside, inside)].any()
        assert possible or not fitting or not len(inside)
        if not possible:
            assert not fitting
            continue
        assert all(keeps(members, network.status) for members in fitting)
        for t, net in enumerate(nets):
            assert not network.opened[t] or not any(net & ~members == 0 for members in fitting)
            assert network.opened[t] == uncovered[network.status == IN, t].any()
        assert all(network.status[v] == OUT for v in np.flatnonzero(apart[inside].any(axis=0)))

"""Pricing networks: the cut bounds every convex set that keeps the roles, and is what the set it finds is worth."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.instance import Instance
from framework.structure.flow.max_flow import INFINITE
from framework.structure.poset.closure import closure
from framework.structure.pricing.network import (
    FREE,
    IN,
    OUT,
    RoleArray,
    build_network,
    has,
    network_for,
    read_set,
    shape_of,
    solve_network,
)
from framework.structure.pricing.propagation import NO_RULES, close_roles
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_layered_instance
from tests.structure.plain_definitions import convex_sets, descendants, mixed_instance, nodes_of, tensor_rows, worth

SEEDS = st.integers(0, 2**32 - 1)


def keeps(members: int, roles: RoleArray) -> bool:
    """Whether a set holds the nodes in and avoids the nodes out."""
    return all(role == FREE or (members >> v & 1) == (role == IN) for v, role in enumerate(roles.tolist()))


def _linear_cost(instance: Instance, members: int, share: int) -> int:
    """Return work, a share of the parameters, and cut tensors."""
    parameters = worth(members, instance.parameter_cost.tolist())
    for q, cost in enumerate(instance.shared_cost.tolist()):
        users = instance.shared.users[instance.shared.ptr[q] : instance.shared.ptr[q + 1]].tolist()
        parameters += cost * any(members >> v & 1 for v in users)
    return stage_cost(instance, members) - max(0, parameters - instance.capacity) + share * parameters


def _is_closed(instance: Instance, members: int, roles: RoleArray) -> bool:
    """Whether all nodes between a node in and a member are members."""
    after = descendants(instance)
    inside = [v for v in range(instance.n) if roles[v] == IN]
    return not any(
        (after[a] >> v & 1 and after[v] >> x & 1) or (after[x] >> v & 1 and after[v] >> a & 1)
        for a in inside
        for x in nodes_of(members)
        for v in range(instance.n)
        if not members >> v & 1
    )


@given(SEEDS)
@settings(max_examples=80, derandomize=True, deadline=None)
def test_the_cut_is_the_maximum_over_closed_sets_and_bounds_every_stage(seed: int) -> None:
    rng = np.random.default_rng([seed, 5])
    instance = mixed_instance(seed, max_nodes=6)
    shape = shape_of(instance, closure(instance))
    network = network_for(shape)
    convex = [0, *convex_sets(instance)]
    every = range(1 << instance.n)
    for _ in range(8):
        roles = rng.choice([IN, FREE, FREE, FREE, FREE, OUT], instance.n).astype(np.int8)
        if not close_roles(shape, NO_RULES, roles, network):
            assert not any(keeps(members, roles) for members in convex)
            continue
        prices = rng.integers(-30, 60, instance.n)
        share, num, den = int(rng.integers(2)), int(rng.integers(0, 9)), int(rng.integers(0, 9))

        values = [
            den * worth(members, prices.tolist()) - num * _linear_cost(instance, members, share) for members in every
        ]
        build_network(shape, share, network)
        value = solve_network(network, prices, num, den, -INFINITE)
        closed = [members for members in every if keeps(members, roles) and _is_closed(instance, members, roles)]
        assert value == max(values[members] for members in closed)
        found = np.full(instance.n, -1, np.int8)
        read_set(network, found)
        members = sum(1 << v for v in np.flatnonzero(found).tolist())
        assert members in closed
        assert values[members] == value
        # The statement of the module, for stages at some threshold.
        threshold = int(rng.integers(0, 1 + instance.largest_cost))
        for stage in convex:
            if keeps(stage, roles) and stage_cost(instance, stage) <= threshold:
                limit = threshold + share * instance.bounded_capacity
                assert den * worth(stage, prices.tolist()) <= num * limit + value
        # With less asked for, the answer may be rough below that, and never too small.
        enough = value + int(rng.integers(-5, 6))
        rough = solve_network(network, prices, num, den, enough)
        assert rough >= value
        assert rough == value or rough < enough


def test_shapes_list_the_producer_first() -> None:
    instance = random_layered_instance(4, 70, width=9)
    shape = shape_of(instance, closure(instance))
    ptr = shape.net_ptr.tolist()
    nets = [shape.net_pins[a:b].tolist() for a, b in pairwise(ptr)]
    assert nets == [[u, *consumers] for u, consumers in tensor_rows(instance)]
    after = descendants(instance)
    assert all(has(shape.descendants[u], v) == bool(after[u] >> v & 1) for u in (0, 3, 40) for v in range(70))

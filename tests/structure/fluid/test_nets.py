"""Nets without some nodes: what is left of tensors, and that stages pay no more for it."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.structure.fluid.core import build_core
from framework.structure.fluid.nets import Nets
from framework.testing.instances import random_instance


def nets_of(instance: Instance, costs: IntArray, gone: list[int]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the pins of the nets that are left, and what they cost on each kind of device."""
    placeless = np.zeros(instance.n, np.bool_)
    placeless[gone] = True
    nets = Nets(instance, costs, placeless)
    for v in gone:
        nets.eliminate(v)
    rows = nets.rows()
    return [pins for pins, _, _ in rows], nets.unpacked([cost for _, cost, _ in rows]).tolist()


def test_a_path_through_a_node_becomes_a_net_of_the_cheaper_tensor() -> None:
    instance = instance_from_lists([1, 1, 1], [(0, 5, [1]), (1, 3, [2])])
    assert nets_of(instance, instance.tensor_cost[None], [1]) == ([[0, 2]], [[3]])
    # On each kind of device what is cheaper there.
    assert nets_of(instance, np.array([[5, 3], [2, 9]]), [1]) == ([[0, 2]], [[3], [2]])
    assert nets_of(instance, instance.tensor_cost[None], [2]) == ([[0, 1]], [[5]])


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_no_stage_pays_more_for_nets_than_for_tensors(seed: int) -> None:
    instance, rng = random_instance(seed), np.random.default_rng([seed, 3])
    costs = rng.integers(0, 9, (2, instance.m))
    gone = np.flatnonzero(rng.random(instance.n) < 0.4).tolist()
    pins, net_costs = nets_of(instance, costs, gone)
    top = instance.topology
    members = [
        {int(u), *top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist()}
        for t, u in enumerate(top.producer)
    ]
    assert not {v for row in pins for v in row} & set(gone)
    for chosen in range(1 << instance.n):
        stage = {v for v in range(instance.n) if chosen >> v & 1}
        for kind in range(2):
            paid = sum(int(costs[kind, t]) for t, row in enumerate(members) if stage & row and not row <= stage)
            less = sum(net_costs[kind][i] for i, row in enumerate(pins) if stage & set(row) and not set(row) <= stage)
            assert less <= paid


def test_parts_that_share_what_was_taken_out_are_gathered_once() -> None:
    # Each level hands half of what it costs on to each of two nets: paths through what was taken out double with it.
    levels = 40
    tensors, pair, cost = [(0, 1 << levels, [1])], (0, 1), 1 << levels
    for level in range(levels):
        following, cost = (2 * level + 2, 2 * level + 3), cost // 2
        tensors += [(pair[0], cost, [v]) for v in following]
        pair = following
    instance = instance_from_lists([1] * (2 * levels + 2), tensors)
    core = build_core(instance, np.arange(instance.n) < 2 * levels, tolled=False)
    assert len(core.ties.cost)
    assert int(core.ties.fluid.max()) == 2 * levels - 1

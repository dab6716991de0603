"""Depth and width against exhaustion."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from framework.model.instance import Instance, instance_from_lists
from framework.structure.poset.width import depths, width
from framework.testing.instances import random_instance


def reachable(instance: Instance) -> list[set[int]]:
    below: list[set[int]] = [set() for _ in range(instance.n)]
    top = instance.topology
    for u in reversed(range(instance.n)):
        for v in top.succs[top.succ_ptr[u] : top.succ_ptr[u + 1]].tolist():
            below[u] |= {v} | below[v]
    return below


def largest_antichain(instance: Instance) -> int:
    below = reachable(instance)
    for size in range(instance.n, 1, -1):
        for nodes in combinations(range(instance.n), size):
            if all(v not in below[u] and u not in below[v] for u, v in combinations(nodes, 2)):
                return size
    return 1


@settings(derandomize=True, deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1))
def test_width_is_the_largest_antichain(seed: int) -> None:
    instance = random_instance(seed, max_nodes=8)
    assert width(instance) == largest_antichain(instance)


def test_chains_pass_through_covered_nodes() -> None:
    # 0,1 -> 2 -> 3,4: two chains must both pass 2, so a cover by disjoint direct edges would need three.
    instance = instance_from_lists([1] * 5, [(0, 1, [2]), (1, 1, [2]), (2, 1, [3, 4])])
    assert width(instance) == 2


@settings(derandomize=True, deadline=None, max_examples=50)
@given(st.integers(0, 2**32 - 1))
def test_depth_is_the_longest_path_before_a_node(seed: int) -> None:
    instance = random_instance(seed)
    depth = depths(instance)
    top = instance.topology
    for v in range(instance.n):
        before = top.preds[top.pred_ptr[v] : top.pred_ptr[v + 1]]
        assert depth[v] == (1 + depth[before].max() if len(before) else 0)

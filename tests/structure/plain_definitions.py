"""What small instances have, by enumeration: descendants, convex sets, partitions. Sets of nodes are bit masks."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from framework.model.instance import Instance
from framework.testing.instances import random_instance, random_shared_problem


def tensor_rows(instance: Instance) -> list[tuple[int, list[int]]]:
    """Return the producer and the consumers of each tensor."""
    top = instance.topology
    ptr, consumers = top.consumer_ptr.tolist(), top.consumers.tolist()
    return [(u, consumers[ptr[t] : ptr[t + 1]]) for t, u in enumerate(top.producer.tolist())]


def descendants(instance: Instance) -> list[int]:
    """Return the nodes that paths lead to, for each node; nodes are numbered topologically."""
    after = [0] * instance.n
    for u, consumers in sorted(tensor_rows(instance), reverse=True):
        for v in consumers:
            after[u] |= 1 << v | after[v]
    return after


def convex_sets(instance: Instance) -> list[int]:
    """Return the non-empty sets that hold every node between two of theirs."""
    n, after = instance.n, descendants(instance)

    def is_convex(members: int) -> bool:
        reached = 0
        for u in nodes_of(members):
            reached |= after[u]
        return not any(after[v] & members for v in nodes_of(reached & ~members))

    return [members for members in range(1, 1 << n) if is_convex(members)]


def stage_vectors(instance: Instance, stages: int) -> list[tuple[int, ...]]:
    """Return every placement of the nodes in stages that no edge leads back in."""
    edges = [(u, v) for u, consumers in tensor_rows(instance) for v in consumers]
    every = itertools.product(range(stages), repeat=instance.n)
    return [stage_of for stage_of in every if all(stage_of[u] <= stage_of[v] for u, v in edges)]


def nodes_of(members: int) -> list[int]:
    """Return the nodes of a set, ascending."""
    return [v for v in range(members.bit_length()) if members >> v & 1]


def mixed_instance(seed: int, max_nodes: int) -> Instance:
    """Return a random instance; for odd seeds one in which several nodes use the same parameters."""
    if seed % 2:
        return random_shared_problem(seed, max_nodes).instance.without_limit()
    return random_instance(seed, max_nodes)


def worth(members: int, prices: Sequence[int]) -> int:
    """Return what the nodes of a set are worth together."""
    return sum(int(prices[v]) for v in nodes_of(members))

"""Greedy width reduction against the same rule over plain sets, and what it leaves."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.instance import Instance
from framework.structure.bit_sets import BitArray
from framework.structure.poset.closure import closure
from framework.structure.poset.width_reduction import reduce_width
from framework.testing.instances import random_instance, random_layered_instance
from tests.structure.plain_definitions import descendants

SEEDS = st.integers(0, 2**32 - 1)


def _comparable(instance: Instance) -> BitArray:
    reach = closure(instance)
    return reach.ancestors | reach.descendants


def _beside(instance: Instance) -> list[set[int]]:
    """Return the nodes that no path leads to from a node, nor from them to it."""
    n, after = instance.n, descendants(instance)
    return [{u for u in range(n) if u != v and not (after[u] >> v | after[v] >> u) & 1} for v in range(n)]


def _widest(beside: list[set[int]], among: set[int]) -> int:
    """Return the size of the largest antichain among some nodes."""
    return max((1 + _widest(beside, {u for u in among & beside[v] if u > v}) for v in among), default=0)


def _reduce_width(
    instance: Instance, weight: list[int], price: list[int], most: float, pairs_a_call: int = 1 << 20
) -> tuple[list[int], list[int], list[bool]]:
    """Return the ranking, and what is beside the nodes that are left, and which these are."""
    beside = np.array([sum(weight[u] for u in others) for others in _beside(instance)], np.int64)
    alive = np.ones(instance.n, np.bool_)
    ranking = reduce_width(
        _comparable(instance),
        np.array(weight, np.int64),
        np.array(price, np.float64),
        beside,
        alive,
        most=most,
        pairs_a_call=pairs_a_call,
        should_stop=lambda: False,
    )
    return ranking.tolist(), beside[alive].tolist(), alive.tolist()


@given(SEEDS)
@settings(max_examples=30, derandomize=True, deadline=None)
def test_the_node_with_most_beside_it_for_its_price_goes_first(seed: int) -> None:
    instance = random_instance(seed, max_nodes=12)
    rng = np.random.default_rng([seed, 5])
    weight = rng.integers(0, 5, instance.n).tolist()
    price = rng.integers(1, 4, instance.n).tolist()
    most = float(rng.integers(-1, 8))
    ranking, left_beside, alive = _reduce_width(instance, weight, price, most)
    others, left = _beside(instance), set(range(instance.n))
    for chosen in ranking:
        now = {v: sum(weight[u] for u in others[v] & left) for v in left}
        assert max(now.values()) > most
        best = max(Fraction(now[v], price[v]) for v in left)
        assert chosen == min(v for v in left if Fraction(now[v], price[v]) == best)
        left.remove(chosen)
    now = {v: sum(weight[u] for u in others[v] & left) for v in left}
    assert all(value <= most for value in now.values())
    assert left_beside == [now[v] for v in sorted(left)]
    assert [v for v in range(instance.n) if alive[v]] == sorted(left)


@given(SEEDS, st.integers(0, 4))
@settings(max_examples=30, derandomize=True, deadline=None)
def test_what_is_left_has_a_small_antichain(seed: int, most: int) -> None:
    instance = random_instance(seed, max_nodes=12)
    ranking, _, alive = _reduce_width(instance, [1] * instance.n, [1] * instance.n, most)
    left = {v for v in range(instance.n) if alive[v]}
    # A member of an antichain has all others beside it.
    assert _widest(_beside(instance), left) <= most + 1
    if ranking:
        assert len(_beside(instance)[ranking[-1]] & left) > most


def test_all_go_in_several_calls_of_the_kernel_too() -> None:
    instance = random_layered_instance(2, 90, width=20)
    ones = [1] * instance.n
    whole = _reduce_width(instance, ones, ones, -1.0)
    stopped = _reduce_width(instance, ones, ones, 5.0)
    assert sorted(whole[0]) == list(range(instance.n))
    assert 0 < len(stopped[0]) < instance.n
    assert whole[0][: len(stopped[0])] == stopped[0]
    assert _reduce_width(instance, ones, ones, -1.0, 7 * instance.n) == whole
    assert _reduce_width(instance, ones, ones, 5.0, 7 * instance.n) == stopped


def test_it_stops_when_told() -> None:
    instance = random_layered_instance(2, 20)
    ones, alive = np.ones(20, np.int64), np.ones(20, np.bool_)
    with pytest.raises(OutOfTimeError):
        reduce_width(_comparable(instance), ones, np.ones(20), ones.copy(), alive, should_stop=lambda: True)

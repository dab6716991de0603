"""Decisions on unequal stages against exhaustion."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from framework.errors import OutOfTimeError
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem, bottleneck, check_limit
from framework.model.unequal import make_unequal
from framework.structure.ideals.chain_dp import ChainSearch
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.unequal.chain_dp import UnequalChainSearch, bytes_of_search, chain_search
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_unequal_problem


def search_of(instance: Instance) -> ChainSearch | UnequalChainSearch:
    return chain_search(instance, enumerate_ideals(instance, max_ideals=300_000))


@pytest.mark.parametrize("batch", range(4))
def test_thresholds_are_decided_as_exhaustion_does(batch: int) -> None:
    for seed in range(100 * batch, 100 * batch + 100):
        problem = random_unequal_problem(seed)
        optimum = brute_force_optimum(problem)
        chains = search_of(problem.instance)
        assert chains.decide(problem.stages, optimum - 1, lambda: False) is None, seed
        if optimum > problem.instance.largest_cost:
            continue
        for threshold in (optimum, optimum + 1, 2 * optimum + 3):
            found = chains.decide(problem.stages, threshold, lambda: False)
            assert found is not None, seed
            assert bottleneck(problem, found) <= threshold, seed
            check_limit(problem, found)


@pytest.mark.parametrize("seed", range(6))
def test_equal_devices_are_decided_as_equal_stages(seed: int) -> None:
    # Two kinds of device with the same prices: what is walked for the one tells nothing of the other.
    instance = random_layered_instance(seed, 40, width=4, capacity_share=0.1 if seed % 2 else None)
    stages = 7
    same = make_unequal(instance, [instance, instance], np.arange(stages) % 2)
    uniform, unequal = search_of(instance), search_of(same)
    assert isinstance(unequal, UnequalChainSearch)
    low, high = 0, instance.largest_cost
    while high - low > 1:
        middle = (low + high) // 2
        found = unequal.decide(stages, middle, lambda: False)
        assert (found is None) == (uniform.decide(stages, middle, lambda: False) is None)
        if found is None:
            low = middle
        else:
            assert bottleneck(Problem(instance=same, stages=stages), found) <= middle
            high = middle


def test_the_order_of_devices_matters() -> None:
    # Work that the first device does in a third of the time comes first; the other way round it waits for both.
    base = instance_from_lists([0] * 4, [(v, 0, [v + 1]) for v in range(3)])
    rows = [replace(base, work=np.array(work)) for work in ([2, 2, 6, 6], [6, 6, 2, 2])]
    for device, optimum in (((0, 1), 4), ((1, 0), 12)):
        search = search_of(make_unequal(base, rows, np.array(device)))
        assert search.decide(2, optimum, lambda: False) is not None
        assert search.decide(2, optimum - 1, lambda: False) is None


def test_a_stopped_decision_claims_nothing() -> None:
    instance = random_layered_instance(3, 60, width=3)
    instance = make_unequal(instance, [instance, replace(instance, work=2 * instance.work)], np.arange(6) % 2)
    search = search_of(instance)
    with pytest.raises(OutOfTimeError):
        search.decide(6, instance.total_work // 3, lambda: True)
    assert search.decide(6, instance.largest_cost, lambda: False) is not None
    with pytest.raises(ValueError, match="5 stages on 6 devices"):
        search.decide(5, instance.largest_cost, lambda: False)
    with pytest.raises(ValueError, match="complete"):
        UnequalChainSearch(instance, enumerate_ideals(instance, max_ideals=50))


def test_memory_is_foretold() -> None:
    instance = random_layered_instance(3, 60, width=4)
    assert bytes_of_search(instance, 1000) == 0
    unequal = make_unequal(instance, [instance, replace(instance, capacity=9)], np.array([0, 1, 1]))
    lattice = enumerate_ideals(unequal, max_ideals=300_000)
    search = UnequalChainSearch(unequal, lattice)
    arrays = [*search._states, search._after, *(array for sums in search._sums for array in sums)]
    assert sum({id(array): array.nbytes for array in arrays}.values()) <= bytes_of_search(unequal, len(lattice))

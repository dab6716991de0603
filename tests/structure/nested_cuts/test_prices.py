"""Prices of groups: no stage of a group pays less than they say, and a single stage pays just that."""

from __future__ import annotations

import numpy as np
import pytest

from framework.structure.nested_cuts.prices import most_charged, priced, prices_of_groups
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_instance, random_unequal_problem


def test_equal_stages_have_one_row() -> None:
    instance = random_instance(3)
    prices = prices_of_groups(instance, [2, 1, 3])
    assert prices.work is instance.work
    assert prices.held.tolist() == [instance.total_parameter_cost] * 3
    wanted = [min(instance.capacity * size, instance.total_parameter_cost) for size in (2, 1, 3)]
    assert prices.capacities.tolist() == wanted
    assert priced(instance.work, 2, 1) == instance.work[1] == priced(np.stack((instance.work,) * 3), 2, 1)


@pytest.mark.parametrize("seed", range(60))
def test_no_stage_pays_less_than_its_group(seed: int) -> None:
    problem = random_unequal_problem(seed).charged()
    instance, unequal = problem.instance, problem.instance.unequal
    assert unequal is not None
    rng = np.random.default_rng(seed)
    first = int(rng.integers(1, problem.stages + 1))
    sizes = [size for size in (first, problem.stages - first) if size]
    prices = prices_of_groups(instance, sizes)
    group_of_stage = np.repeat(np.arange(len(sizes)), sizes)
    kinds = instance.on_each_device()
    for stage, device in enumerate(unequal.device.tolist()):
        g, kind = int(group_of_stage[stage]), kinds[device]
        assert (prices.tensor_cost[g] <= kind.tensor_cost).all()
        for _ in range(6):
            inside = rng.random(instance.n) < rng.random()
            overflow = max(0, int(kind.parameter_cost[inside].sum()) - kind.capacity)
            room = int(prices.capacities[g])
            held = int(prices.parameters[g][inside].sum())
            assert prices.work[g][inside].sum() <= kind.work[inside].sum()
            assert max(0, held - room) <= overflow
            if sizes[g] == 1:
                assert max(0, held - room) == overflow
                assert prices.work[g][inside].sum() == kind.work[inside].sum()


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_charged_more(seed: int) -> None:
    instance = random_unequal_problem(seed).charged().instance
    for kind in instance.on_each_device():
        assert stage_cost(kind, (1 << instance.n) - 1) <= most_charged(instance)

"""Coarse prices of groups: no group pays more than its stages do, and each unequal stage has its own."""

from __future__ import annotations

import numpy as np
import pytest

from framework.structure.models.superblocks_prices import GroupPrices, group_prices
from framework.testing.brute_force import stage_cost
from framework.testing.instances import random_problem, random_unequal_problem


def paid(prices: GroupPrices, inside: list[int]) -> int:
    """Work and overflow of a set of nodes in one stage, without shared parameters."""
    parameters = int(prices.parameters[inside].sum())
    return int(prices.work[inside].sum()) + max(0, parameters - prices.capacity)


@pytest.mark.parametrize("seed", range(40))
def test_coarse_costs_are_no_more_than_the_costs(seed: int) -> None:
    instance = random_problem(seed).instance
    rng = np.random.default_rng(seed)
    for unit in (1, 3, 10):
        upper = instance.largest_cost // unit
        first, second = group_prices(instance, [2, 1], upper=upper, unit=unit)
        assert first is second
        inside = np.flatnonzero(rng.random(instance.n) < 0.5).tolist()
        assert unit * paid(first, inside) <= stage_cost(instance, sum(1 << v for v in inside))


@pytest.mark.parametrize("seed", range(40))
def test_unequal_stages_pay_on_their_devices(seed: int) -> None:
    problem = random_unequal_problem(seed)
    instance, unequal = problem.instance, problem.instance.unequal
    assert unequal is not None
    groups = group_prices(instance, [1] * problem.stages, upper=1 << 46, unit=1)
    for prices, device in zip(groups, unequal.device.tolist(), strict=True):
        assert (prices.work == unequal.work[device]).all()
        assert (prices.tensor_cost == unequal.tensor_cost[device]).all()
        assert not prices.parameters.any() or (prices.parameters == unequal.parameter_cost[device]).all()
    with pytest.raises(ValueError, match="a group each"):
        group_prices(instance, [problem.stages + 1], upper=9, unit=1)


def test_costs_beyond_the_limit_are_clipped() -> None:
    instance = random_problem(5).instance
    (prices,) = group_prices(instance, [1], upper=2, unit=1)
    assert prices.work.max() <= 3
    assert prices.tensor_cost.max(initial=0) <= 3

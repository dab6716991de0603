"""Each parameter has one payer in each row: the root, where it is a user."""

from __future__ import annotations

import numpy as np
import pytest

from framework.structure.poset.closure import closure
from framework.structure.pricing.network import shape_of
from framework.structure.spreading.payers import Payers
from framework.testing.instances import random_shared_problem


@pytest.mark.parametrize("seed", range(40))
def test_the_root_pays_for_all_that_it_uses(seed: int) -> None:
    instance = random_shared_problem(seed).instance.without_limit()
    payers = Payers(shape_of(instance, closure(instance)), instance)
    ptr, used = instance.shared.of_nodes(instance.n)
    usual = payers.shape.parameters
    assert np.array_equal(usual, instance.charged().parameter_cost)
    for root in range(instance.n):
        parameters = payers.at(root).parameters
        assert parameters.sum() == instance.total_parameter_cost
        assert (parameters >= instance.parameter_cost).all()
        own = instance.shared_cost[used[ptr[root] : ptr[root + 1]]].sum()
        assert parameters[root] >= instance.parameter_cost[root] + own
        others = np.arange(instance.n) != root
        assert (parameters[others] <= usual[others]).all()


@pytest.mark.parametrize("seed", range(40))
def test_every_root_has_its_shape(seed: int) -> None:
    instance = random_shared_problem(seed).instance.without_limit()
    payers = Payers(shape_of(instance, closure(instance)), instance)
    for start in range(instance.n):
        met: list[int] = []
        for first, last, shape in payers.between(start, instance.n):
            met += range(first, last)
            assert all(np.array_equal(shape.parameters, payers.at(root).parameters) for root in range(first, last))
        assert met == list(range(start, instance.n))

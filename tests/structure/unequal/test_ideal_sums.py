"""Cuts of ideals in several prices against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from framework.structure.bit_sets import which_are_in
from framework.structure.ideals.lattice import enumerate_ideals
from framework.structure.unequal.ideal_sums import cuts_of
from framework.testing.instances import random_instance


@pytest.mark.parametrize("seed", range(40))
def test_cuts_are_what_crosses(seed: int) -> None:
    instance = random_instance(seed)
    top = instance.topology
    lattice = enumerate_ideals(instance, max_ideals=10_000)
    costs = np.random.default_rng(seed).integers(0, 9, (3, instance.m))
    cuts = cuts_of(lattice, top, costs)
    assert (cuts_of(lattice, top, instance.tensor_cost[None])[0] == lattice.cut).all()
    for ideal in range(len(lattice)):
        inside = which_are_in(lattice.bits[ideal], np.arange(instance.n))
        crossing = [
            t
            for t, u in enumerate(top.producer)
            if inside[u] and not inside[top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]]].all()
        ]
        assert (cuts[:, ideal] == costs[:, crossing].sum(1)).all()

"""Prices along an order, and what is left from each position, against their definitions."""

from __future__ import annotations

import numpy as np
import pytest

from framework.model.problem import cut_tensors
from framework.structure.poset.topological_orders import OrderKind, topological_order
from framework.structure.primal.layout import COST, PARAMETERS, PRODUCED, WORK, lay_out
from framework.structure.unequal.positions import positions_of
from framework.structure.unequal.stage_kinds import completion_tests, stage_kinds
from framework.testing.instances import random_unequal_problem


@pytest.mark.parametrize("seed", range(60))
def test_positions_are_what_each_device_lays_out(seed: int) -> None:
    instance = random_unequal_problem(seed).instance
    order = topological_order(instance, OrderKind.DFS, noise=1.0, seed=seed)
    kinds, tests = stage_kinds(instance), completion_tests(instance)
    found = positions_of(instance, order, kinds, tests)
    prices, shared = found.prices, instance.shared
    for d, device in enumerate(instance.on_each_device()):
        layout = lay_out(device, order)
        assert (prices.work[d] == layout.prefix[WORK]).all()
        assert (prices.parameters[d] == layout.prefix[PARAMETERS]).all()
        assert (prices.produced[d] == layout.prefix[PRODUCED, :-1]).all()
        for mine, theirs in (
            (prices.pins, layout.pins),
            (prices.outs, layout.outs),
            (prices.closes, layout.closes),
            (prices.uses, layout.uses),
        ):
            assert (mine[d] == theirs[COST]).all()
        assert prices.capacity[d] == layout.capacity
        for kind, (on, room) in enumerate(zip(kinds.device, kinds.room, strict=True)):
            if on == d and device.stage_limit is not None and room == device.stage_limit.limit:
                assert (found.reach[kind] == layout.reach).all()
    for j in range(instance.n + 1):
        beyond = np.zeros(instance.n, np.bool_)
        beyond[order[j:]] = True
        crossing = cut_tensors(instance.topology, beyond.astype(np.int64), 2).leaving
        users = [q for q in range(len(shared)) if beyond[shared.users[shared.ptr[q] : shared.ptr[q + 1]]].any()]
        left = tests.node[:, beyond].sum(1) + tests.tensor[:, crossing].sum(1) + tests.shared[:, users].sum(1)
        assert (found.after[:, j] == left).all()

"""Nets without some nodes: what is left of tensors, and that stages pay no more for it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance, instance_from_lists
from framework.proof.cores.nets import nets_between
from framework.proof.problem import plain_problem
from framework.structure.fluid.core import build_core
from framework.structure.fluid.nets import elimination, growth, kernels, naming, table
from framework.structure.fluid.nets.elimination import Nets, TakenOut
from framework.testing.instances import (
    random_instance,
    random_problem,
    random_shared_problem,
    random_unequal_problem,
)

DRAWN = random_problem, random_shared_problem, random_unequal_problem


def rows_of(ptr: IntArray, items: IntArray) -> list[list[int]]:
    return [items[a:b].tolist() for a, b in pairwise(ptr.tolist())]


def nets_without(instance: Instance, costs: IntArray, gone: list[int], *, remember: bool = False) -> Nets:
    placeless = np.zeros(instance.n, np.bool_)
    placeless[gone] = True
    nets = Nets(instance, costs, placeless, remember=remember)
    nets.eliminate()
    return nets


def nets_of(instance: Instance, costs: IntArray, gone: list[int]) -> tuple[list[list[int]], list[list[int]]]:
    """Return the pins of the nets that are left, and what they cost on each kind of device."""
    rows = nets_without(instance, costs, gone).rows()
    return rows_of(rows.ptr, rows.pins), rows.cost.tolist()


def members_of(instance: Instance) -> list[set[int]]:
    """Return producer and consumers of each tensor."""
    top = instance.topology
    return [{int(u), *row} for u, row in zip(top.producer, rows_of(top.consumer_ptr, top.consumers), strict=True)]


def parts_in(out: TakenOut) -> list[tuple[int, list[int], list[int]]]:
    """Return cost, nodes taken out and pins of each part."""
    return list(zip(out.cost.tolist(), rows_of(out.taken_ptr, out.taken), rows_of(out.pin_ptr, out.pins), strict=True))


def wide(seed: int) -> tuple[Instance, list[int]]:
    """Return an instance in which nets have many parts, and most of its nodes."""
    rng = np.random.default_rng([seed, 11])
    n = int(rng.integers(20, 60))
    tensors = [
        (u, int(rng.integers(1, 50)), np.unique(rng.integers(u + 1, n, rng.choice((1, 1, 2, 5)))).tolist())
        for u in np.repeat(np.arange(n - 1), 3).tolist()
    ]
    return instance_from_lists([1] * n, tensors), np.flatnonzero(rng.random(n) < 0.8).tolist()


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
    members = members_of(instance)
    assert not {v for row in pins for v in row} & set(gone)
    for chosen in range(1 << instance.n):
        stage = {v for v in range(instance.n) if chosen >> v & 1}
        for kind in range(2):
            paid = sum(int(costs[kind, t]) for t, row in enumerate(members) if stage & row and not row <= stage)
            less = sum(net_costs[kind][i] for i, row in enumerate(pins) if stage & set(row) and not set(row) <= stage)
            assert less <= paid


@pytest.mark.parametrize("seed", range(60))
def test_nets_are_those_that_whoever_checks_a_proof_makes(seed: int) -> None:
    problem, rng = DRAWN[seed % len(DRAWN)](seed, 14), np.random.default_rng([seed, 5])
    instance = replace(problem.instance, stage_limit=None)
    gone = np.flatnonzero(rng.random(instance.n) < 0.6).tolist()
    costs = instance.tensor_cost[None] if instance.unequal is None else instance.unequal.tensor_cost
    pins, net_costs = nets_of(instance, costs, gone)
    made = nets_between(plain_problem(instance, problem.stages), range(instance.n), gone)
    paid = (tuple(column) for column in np.transpose(net_costs).tolist())
    assert sorted(zip(pins, paid, strict=True)) == sorted((sorted(row), cost) for row, cost in made)


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1))
def test_a_stage_that_has_some_of_a_part_but_not_all_pays_for_it(seed: int) -> None:
    instance, rng = random_instance(seed), np.random.default_rng([seed, 4])
    gone = np.flatnonzero(rng.random(instance.n) < 0.6).tolist()
    parts = parts_in(nets_without(instance, instance.tensor_cost[None], gone, remember=True).taken_out())
    members = members_of(instance)
    for chosen in range(1 << instance.n):
        stage = {v for v in range(instance.n) if chosen >> v & 1}
        paid = sum(int(instance.tensor_cost[t]) for t, row in enumerate(members) if stage & row and not row <= stage)
        for_parts = [(cost, {*taken, *pins}) for cost, taken, pins in parts]
        assert sum(cost for cost, row in for_parts if stage & row and not row <= stage) <= paid


def test_little_memory_and_short_calls_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    known = []
    for small in (False, True):
        if small:
            monkeypatch.setattr(growth, "LEAST_MEMORY", 1)
            for module in (elimination, naming):
                monkeypatch.setattr(module, "STEPS_A_CALL", 1)
            monkeypatch.setattr(naming, "NODES_A_CALL", naming.MOST_TAKEN)
        found = []
        for seed in range(20):
            instance, gone = wide(seed)
            nets = nets_without(instance, instance.tensor_cost[None], gone, remember=True)
            found.append(([array.tolist() for array in nets.rows()], parts_in(nets.taken_out())))
        known.append(found)
    assert known[0] == known[1]
    assert max(len(parts) for _, parts in known[0]) > 50


def test_merged_nets_and_their_parts_are_limited() -> None:
    # One node more than a merged net may have: what is left is the net of the readers.
    for readers, kept in ((kernels.LARGEST_NET - 1, [0]), (kernels.LARGEST_NET, [])):
        ends = list(range(2, readers + 2))
        instance = instance_from_lists([1] * (readers + 2), [(0, 9, [1]), (1, 9, ends)])
        assert nets_of(instance, instance.tensor_cost[None], [1]) == ([kept + ends], [[9]])
    # Parallel paths: each is a part of the net of their ends.
    paths = table.MOST_PARTS + 7
    tensors = [(0, 1, [v]) for v in range(1, paths + 1)] + [(v, 1, [paths + 1]) for v in range(1, paths + 1)]
    instance = instance_from_lists([1] * (paths + 2), tensors)
    nets = nets_without(instance, instance.tensor_cost[None], list(range(1, paths + 1)), remember=True)
    assert nets.rows().cost.tolist() == [[paths]]
    assert [taken for _, taken, _ in parts_in(nets.taken_out())] == [[v] for v in range(1, table.MOST_PARTS + 1)]


def test_elimination_and_naming_stop_when_they_are_asked_to() -> None:
    instance, gone = wide(1)
    placeless = np.zeros(instance.n, np.bool_)
    placeless[gone] = True
    nets = Nets(instance, instance.tensor_cost[None], placeless, remember=True)
    with pytest.raises(OutOfTimeError):
        nets.eliminate(lambda: True)
    nets.eliminate()
    with pytest.raises(OutOfTimeError):
        nets.taken_out(lambda: True)


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

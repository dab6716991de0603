"""Tolls: units are checked, no core with tolls proves more than the optimum, and each as much as the solver's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.logs.cores import core_program_of
from framework.proof.cores.core import make_core
from framework.proof.cores.nets import nets_between
from framework.proof.cores.program import core_program
from framework.proof.cores.tolls import units_of
from framework.proof.log import CHANGED
from framework.proof.problem import RefusedError, plain_problem
from framework.structure.filtering.noted import common_of
from framework.structure.filtering.noted import units_of as noted_units
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import build_core
from framework.structure.fluid.variants import toll_variants
from framework.structure.ideals.lattice import enumerate_ideals
from framework.testing.brute_force import brute_force_optimum
from framework.testing.cores import drawn_units
from tests.proof.test_cores import drawn, highest, refutes


def fan(rng: random.Random, width: int) -> Instance:
    """Return a node that feeds some, each of which feeds one of a row."""
    fed, row = range(1, width + 1), range(width + 1, 2 * width + 1)
    tensors = [(0, rng.randrange(1, 5), list(fed)), *((v, rng.randrange(1, 5), [v + width]) for v in fed)]
    tensors += [(v, rng.randrange(3), [v + 1]) for v in row[:-1]]
    if rng.random() < 0.5:
        tensors.append((0, rng.randrange(1, 4), [rng.choice(list(row))]))
    work = [rng.randrange(2, 9) for _ in range(2 * width + 1)]
    parameters = [rng.randrange(5) for _ in work] if rng.random() < 0.5 else None
    return instance_from_lists(work, tensors, parameter_cost=parameters, capacity=rng.randrange(4, 12))


def toll_data(rng: random.Random, instance: Instance, **given: Any) -> dict[str, Any]:
    """Return what makes a core in which the middle of a fan is fluid, with tolls."""
    width = instance.n // 2
    data = drawn(instance.n, rng) | {"fluid": list(range(1, width + 1)), "backwards": False}
    return data | {"units": [[v] for v in data["fluid"]], "grain": 1} | given


def test_no_core_with_tolls_refutes_the_optimum_and_some_refute_more_than_without() -> None:
    rng, more = random.Random(1), [0, 0]
    for _ in range(16):
        instance = fan(rng, rng.choice((2, 3)))
        problem = Problem(instance=instance, stages=rng.randrange(2, 4))
        seen, optimum = plain_problem(instance, problem.stages), brute_force_optimum(problem)
        without = highest(seen, toll_data(rng, instance, units=[], counted=0))
        for by_unit in (False, True):
            for common in ([], [0, *range(1, instance.n // 2 + 1)]):
                data = toll_data(rng, instance, by_unit=by_unit, common=common, counted=0)
                assert highest(seen, data) < optimum, data
                more[by_unit] += highest(seen, data) > without
        data = toll_data(rng, instance, grain=rng.choice((2, 3)))
        assert highest(seen, data) < optimum, data
        data = toll_data(rng, instance, by_unit=rng.random() < 0.5)
        data["fluid"] = rng.sample(range(instance.n), rng.randrange(instance.n))
        data["units"], data["common"] = drawn_units(seen, set(data["fluid"]), set(), rng)
        assert highest(seen, data) < optimum, data
    assert min(more) > 0


def test_a_core_with_tolls_refutes_whatever_the_solver_refutes_with_it() -> None:
    rng, met = random.Random(2), [0, 0]
    for _ in range(12):
        instance = fan(rng, rng.choice((4, 5)))
        stages, width = rng.randrange(2, 4), instance.n // 2
        mask = np.zeros(instance.n, np.bool_)
        mask[1 : width + 1] = True
        core = build_core(instance, mask)
        if not (core.unit >= 0).any():
            continue
        search = FluidSearch(core, enumerate_ideals(core.order, max_ideals=1_000), None, toll_variants(core))
        seen = plain_problem(instance, stages)
        units = [nodes.tolist() for nodes in noted_units(core)]
        for variant in search.variants:
            data = toll_data(rng, instance, counted=int(variant.counted), by_unit=variant.by_unit, units=units)
            data["common"] = common_of(core).tolist()
            found = highest(seen, data)
            assert search.decide(stages, found + 1, lambda: False, variant=variant) is not None, data
            met[variant.by_unit] += search.decide(stages, found, lambda: False, variant=variant) is None
    assert min(met) > 2


def test_tolls_and_nets_cost_no_stage_more_than_tensors() -> None:
    rng = random.Random(3)
    for _ in range(6):
        instance = fan(rng, 3)
        seen, order = plain_problem(instance, 2), list(range(instance.n))
        fluid = list(range(1, 4))
        core = make_core(seen, order, fluid, backwards=False)
        units = units_of(seen, core, [[v] for v in fluid], [0, *fluid])
        assert units is not None
        nets = nets_between(seen, order, fluid, units.spared)
        for chosen in range(1 << seen.n):
            stage = {v for v in range(seen.n) if chosen >> v & 1}
            paid = sum(cost for pins, (cost,) in nets if stage & pins and not pins <= stage)
            for v, toll in zip(fluid, units.tolls[0], strict=True):
                whole = {v, *seen.successors[v]}
                paid += toll if stage & whole and not whole <= stage else 0
            whole = {0, *fluid}
            paid += units.common_cost[0] if stage & whole and not whole <= stage else 0
            held = max(0, seen.held(stage) - seen.capacity)
            assert paid <= seen.cost(stage) - sum(seen.work[v] for v in stage) - held


@pytest.mark.parametrize(
    "wrong",
    [
        {"units": [[1], [1]]},
        {"units": [[1, 1]]},
        {"units": [[1, 2]]},
        {"units": [[0]]},
        {"units": [[9]]},
        {"units": [[]]},
        {"units": [[1], [2]], "chains": [[3, 4]]},
        {"fluid": [1, 2, 3], "units": [[1]]},
        {"common": [0]},
        {"common": [0, 1]},
        {"common": [1, 3]},
        {"backwards": True},
        {"by_unit": True, "grain": 2},
        {"weights": [1, 1]},
    ],
)
def test_what_are_no_units_is_refused(wrong: dict[str, Any]) -> None:
    seen = plain_problem(instance_from_lists([2] * 5, [(0, 2, [1, 2]), (1, 2, [3]), (2, 2, [4]), (3, 1, [4])]), 2)
    data = drawn(5, random.Random(0)) | {"fluid": [1, 2], "counted": 0, "some": [], "grain": 1, "backwards": False}
    data |= {"units": [[1], [2]], "common": [0, 1, 2]}
    assert refutes(seen, 1, data)
    with pytest.raises(RefusedError):
        core_program(seen, 1, **{**data, **wrong})


def test_units_go_by_the_numbers_of_a_log() -> None:
    data = {"fluid": [1], "backwards": 0, "by_unit": 1, "some": [], "chains": [], "units": [[1]], "common": [0, 1]}
    data |= {"threshold": 1, "order": [], "counted": 0, "grain": 1, "weights": []}
    assert core_program_of(data, np.array([2, 0, 1])) is None
    step = core_program_of(data | {"version": CHANGED["core-program"]}, np.array([2, 0, 1]))
    assert step is not None
    assert (step.data["units"], step.data["common"], step.data["by_unit"]) == ([[0]], [2, 0], True)

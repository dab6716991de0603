"""Cores of problems with shared parameters, or on different devices: nothing too much, and as much as the solver's."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

from framework.model.problem import Problem
from framework.proof.cores.fixing import fixing
from framework.proof.cores.program import core_program
from framework.proof.problem import PlainProblem, RefusedError, plain_problem
from framework.structure.filtering.noted import common_of, units_of, way_of
from framework.structure.filtering.rounds import FixedProblems
from framework.structure.fluid.core import build_core
from framework.structure.fluid.unequal_chain_dp import UnequalFluidSearch, stage_devices
from framework.structure.fluid.variants import Counted, device_variants, toll_variants
from framework.structure.ideals.lattice import enumerate_ideals
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_cross_attention, random_shared_problem, random_unequal_problem
from framework.testing.priced_instances import random_attention_problem
from tests.proof.test_cores import drawn, highest, refutes
from tests.proof.test_fixing import SMALL


def priced(count: int, first: int, max_nodes: int = 7) -> list[Problem]:
    """Return random problems with shared parameters or different devices, and no limits."""
    problems = [
        draw(seed, max_nodes)
        for seed in range(first, first + count)
        for draw in (random_shared_problem, random_unequal_problem)
    ]
    return [problem for problem in problems if problem.instance.stage_limit is None]


def core_of(seen: PlainProblem, rng: random.Random) -> dict[str, Any]:
    """Return what makes some core."""
    data, kinds = drawn(seen.n, rng, 1 if seen.kinds else 3), len(seen.kinds)
    work = [rng.randrange(1, 4) for _ in range(kinds)]
    return data | {"weights": [*work, *(rng.choice((0, weight)) for weight in work)]}


def test_no_core_refutes_the_optimum_and_some_refute_all_below() -> None:
    rng, tight = random.Random(1), [0, 0]
    for problem in priced(12, first=100):
        seen, optimum = plain_problem(problem.instance, problem.stages), brute_force_optimum(problem)
        for _ in range(3):
            data = core_of(seen, rng)
            assert not refutes(seen, optimum, data), data
            assert highest(seen, data) < optimum, data
            tight[bool(seen.kinds)] += refutes(seen, optimum - 1, data)
    assert min(tight) > 2


def test_a_core_refutes_whatever_the_solver_refutes_with_it() -> None:
    rng, met = random.Random(2), [0, 0]
    for problem in priced(8, first=300, max_nodes=7):
        instance, stages = problem.instance, problem.useful_stages
        seen = plain_problem(instance, problem.stages)
        fluid = rng.sample(range(seen.n), rng.randrange(seen.n))
        mask = np.zeros(instance.n, np.bool_)
        mask[fluid] = True
        core = build_core(instance, mask)
        variants = device_variants(core, brute_force_optimum(problem))
        lattice = enumerate_ideals(core.order, max_ideals=1_000)
        search = UnequalFluidSearch(core, lattice, stage_devices(instance, stages), variants)
        for variant in variants:
            counted, grain, *weights = way_of(variant, instance)
            given = {"fluid": fluid, "backwards": False, "some": [], "counted": counted, "grain": grain}
            data = drawn(seen.n, rng) | given | {"weights": weights}
            found = highest(seen, data)
            assert search.decide(stages, found + 1, lambda: False, variant=variant) is not None, data
            met[bool(seen.kinds)] += search.decide(stages, found, lambda: False, variant=variant) is None
    assert min(met) > 2


def test_tolls_and_crowded_nodes_are_counted_with_prices_as_the_solver_does() -> None:
    rng, met = random.Random(4), {"tolls": 0, "units": 0, "crowded": 0}
    for seed in range(40):
        problem, (_, paths) = random_attention_problem(seed), random_cross_attention(seed)
        instance, stages, optimum = problem.instance, problem.stages, brute_force_optimum(problem)
        seen, mask = plain_problem(instance, stages), np.zeros(instance.n, np.bool_)
        mask[paths] = True
        core, crowded = build_core(instance, mask), np.array([rng.random() < 0.5 for _ in range(instance.n)])
        variants = [*device_variants(core, optimum, crowded), *toll_variants(core, priced=True)]
        device, lattice = stage_devices(instance, problem.useful_stages), enumerate_ideals(core.order, max_ideals=1_000)
        if problem.useful_stages != stages:
            continue
        search = UnequalFluidSearch(core, lattice, device, variants, crowded)
        for variant in variants:
            counted, grain, *weights = way_of(variant, instance)
            given = {
                "fluid": core.fluid.tolist(),
                "some": np.flatnonzero(crowded).tolist(),
                "counted": counted,
                "grain": grain,
                "weights": weights,
                "units": [nodes.tolist() for nodes in units_of(core)],
                "common": common_of(core).tolist(),
                "by_unit": variant.by_unit,
            }
            data = drawn(seen.n, rng) | {"backwards": False} | given
            found = highest(seen, data)
            assert found < optimum, data
            assert search.decide(stages, found + 1, lambda: False, variant=variant) is not None, data
            also = search.decide(stages, found, lambda: False, variant=variant) is None
            met["units"] += also and variant.by_unit
            met["tolls"] += also and bool(given["units"])
            met["crowded"] += also and variant.counted == Counted.CROWDED
    assert min(met.values()) > 2


def test_rounds_of_the_solver_hold_and_refute_no_optimum() -> None:
    closed = [0, 0]
    for problem in priced(10, first=500):
        if problem.useful_stages == 1:
            continue
        seen, optimum = plain_problem(problem.instance, problem.stages), brute_force_optimum(problem)
        fixed = FixedProblems(problem, SMALL)
        refuted, rounds = fixed.fix(optimum - 1, 3), fixed.rounds(optimum - 1)
        bound, words = fixing(seen, optimum - 1, rounds=rounds, plain=True)
        assert bound == optimum
        assert not refuted or words.startswith("nothing is left")
        with pytest.raises(RefusedError):
            fixing(seen, optimum, rounds=rounds, plain=True)
        closed[bool(seen.kinds)] += refuted
    assert min(closed) > 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"weights": []},
        {"weights": [1, 1, 1]},
        {"weights": [1, 1, 2, 0]},
        {"weights": [1, 1, -1, 0]},
        {"weights": [1 << 60, 1, 0, 0]},
        {"counted": 1},
        {"units": [[0]]},
    ],
)
def test_weights_of_devices_are_checked(wrong: dict[str, Any]) -> None:
    problem = next(p for p in priced(60, first=900) if p.instance.unequal is not None and p.instance.unequal.kinds == 2)
    seen = plain_problem(problem.instance, problem.stages)
    data = drawn(seen.n, random.Random(0)) | {
        "fluid": [],
        "counted": 0,
        "some": [],
        "grain": 1,
        "weights": [1, 1, 1, 0],
    }
    assert refutes(seen, 0, data)
    with pytest.raises(RefusedError):
        core_program(seen, 0, **{**data, **wrong})

"""Core programs: no core proves more than the optimum, each as much as the solver's, compiled or not."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.proof.cores import prices
from framework.proof.cores.nets import nets_between
from framework.proof.cores.program import core_program
from framework.proof.cores.walk import FAR, StageRules, at_most
from framework.proof.problem import PlainProblem, RefusedError, plain_problem
from framework.structure.fluid.chain_dp import FluidSearch
from framework.structure.fluid.core import build_core
from framework.structure.fluid.reversal import read_backwards
from framework.structure.fluid.variants import Counted, Variant
from framework.structure.ideals.lattice import enumerate_ideals
from framework.testing.brute_force import brute_force_optimum
from tests.proof.cases import DRAWN
from tests.proof.test_rules import plain


def narrowed(count: int, first: int, max_nodes: int = 7) -> Iterator[tuple[Problem, Instance]]:
    """Yield random problems, and relaxed instances of them that cores can be made of."""
    for seed in range(first, first + count):
        problem = DRAWN[seed % len(DRAWN)](seed, max_nodes)
        if problem.instance.stage_limit is None:
            yield problem, problem.instance.charged().without_worksets()


def drawn(n: int, rng: random.Random, counted: int = 3) -> dict[str, Any]:
    """Return what makes some core of n nodes."""
    return {
        "order": [],
        "fluid": rng.sample(range(n), rng.randrange(n)),
        "backwards": rng.random() < 0.5,
        "counted": rng.randrange(counted),
        "some": rng.sample(range(n), rng.randrange(n)),
        "grain": rng.choice((1, 1, 2, 3, 5)),
        "weights": [],
        "chains": [],
        "units": [],
        "common": [],
        "by_unit": False,
    }


def refutes(problem: PlainProblem, threshold: int, data: dict[str, Any], *, plain: bool = False) -> bool:
    """Whether a core refutes a threshold."""
    try:
        return core_program(problem, threshold, **data, plain=plain)[0] == threshold + 1
    except RefusedError:
        return False


def highest(problem: PlainProblem, data: dict[str, Any]) -> int:
    """Return the highest threshold that a core refutes."""
    low, high = -1, problem.cost(range(problem.n))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if refutes(problem, middle, data) else (low, middle)
    return low


def test_no_core_refutes_the_optimum_and_some_refute_all_below() -> None:
    rng, tight = random.Random(1), 0
    for problem, instance in narrowed(24, first=500):
        seen, optimum = plain_problem(instance, problem.stages), brute_force_optimum(problem)
        for _ in range(3):
            data = drawn(seen.n, rng)
            assert not refutes(seen, optimum, data), data
            assert highest(seen, data) < optimum, data
            tight += refutes(seen, optimum - 1, data)
    assert tight > 10


def test_a_core_refutes_whatever_the_solver_refutes_with_it() -> None:
    rng, as_much, more = random.Random(2), 0, 0
    for problem, instance in narrowed(18, first=600, max_nodes=8):
        seen = plain_problem(instance, problem.stages)
        data = drawn(seen.n, rng, 3 if instance.can_overflow else 1)
        if data["counted"] == Counted.CROWDED:
            data["grain"] = 1
        masks = np.zeros((2, instance.n), np.bool_)
        masks[0, data["fluid"]] = masks[1, data["some"]] = True
        core = build_core(instance, masks[0], tolled=False)
        lattice = enumerate_ideals(core.order, max_ideals=1_000)
        if data["backwards"]:
            core, lattice = read_backwards(core, lattice)
        variant = Variant(counted=Counted(data["counted"]), grain=data["grain"])
        search = FluidSearch(core, lattice, masks[1], () if variant.grain == 1 else (variant,))
        stages, found = problem.useful_stages, highest(seen, data)
        assert search.decide(stages, found + 1, lambda: False, variant=variant) is not None, data
        as_much += search.decide(stages, found, lambda: False, variant=variant) is None
        more += found >= 0
    assert as_much >= 0.8 * more


def test_chains_refute_no_optimum_and_more_than_fluid_nodes() -> None:
    rng, more = random.Random(6), 0
    for seed in range(12):
        equal, others = rng.randrange(2, 5), rng.randrange(1, 4)
        n, work = equal + others, [5] * equal + [rng.randrange(1, 9) for _ in range(others)]
        names = rng.sample(range(n), n)
        costs = [work[names[v]] for v in range(n)]
        tensors = [(u, rng.randrange(4), [v]) for u in range(n) for v in range(u + 1, n) if rng.random() < 0.3]
        problem = Problem(instance=instance_from_lists(costs, tensors), stages=rng.randrange(2, 4))
        seen, optimum = plain_problem(problem.instance, problem.stages), brute_force_optimum(problem)
        chain = [v for v in range(n) if names[v] < equal]
        base = {**drawn(n, rng, counted=1), "fluid": [], "grain": 1}
        as_chain, as_fluid = highest(seen, base | {"chains": [chain]}), highest(seen, base | {"fluid": chain})
        assert as_fluid <= as_chain < optimum, seed
        more += as_fluid < as_chain
    assert more


def test_the_compiled_loop_does_what_the_plain_one_does(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(3)
    monkeypatch.setattr(prices, "PLAIN_STEPS", -1)
    for problem, instance in narrowed(10, first=700, max_nodes=8):
        seen = plain_problem(instance, problem.stages)
        data = drawn(seen.n, rng)
        threshold = highest(seen, data)
        said = [core_program(seen, threshold, **data, plain=plain) for plain in (False, True)]
        assert said[0] == said[1]
        assert not refutes(seen, threshold + 1, data, plain=True)


def test_nets_cost_no_stage_more_than_tensors() -> None:
    rng = random.Random(4)
    for problem, instance in narrowed(12, first=800, max_nodes=8):
        seen = plain_problem(instance, problem.stages)
        gone = set(rng.sample(range(seen.n), rng.randrange(seen.n)))
        nets = nets_between(seen, range(seen.n), gone)
        assert all(not pins & gone for pins, _ in nets)
        for chosen in range(1 << seen.n):
            stage = {v for v in range(seen.n) if chosen >> v & 1}
            paid = sum(cost for pins, (cost,) in nets if stage & pins and not pins <= stage)
            assert paid <= seen.cost(stage) - sum(seen.work[v] for v in stage) - max(
                0, seen.held(stage) - seen.capacity
            )


def test_weights_of_work_are_exact_without_large_products() -> None:
    rng = random.Random(5)
    for _ in range(200):
        work, num, den = rng.getrandbits(46), rng.getrandbits(46), rng.getrandbits(45) + 1
        whole, rest = divmod(num, den)
        rules = StageRules(0, 0, 0, False, 1, whole, rest, den, True)
        assert at_most(rules, work) == min(FAR, work * num // den) or at_most(rules, work) == FAR
    assert at_most(StageRules(0, 0, 0, False, 1, FAR, 0, 1, True), 0) == FAR


@pytest.mark.parametrize(
    "wrong",
    [
        {"order": [1, 0, 2]},
        {"order": [0, 1]},
        {"order": [0, 1, 2, 2]},
        {"fluid": [0, 1, 2]},
        {"fluid": [3]},
        {"grain": 0},
        {"counted": 3},
        {"some": [-1]},
        {"chains": [[0, 1], [1, 2]]},
        {"fluid": [0], "chains": [[0, 1]]},
        {"chains": [[0, 3]]},
    ],
)
def test_what_is_no_core_is_refused(wrong: dict[str, Any]) -> None:
    seen = plain([1, 1, 1], [(1, 0, [1])])
    data = drawn(3, random.Random(0)) | {"fluid": [], "counted": 0, "some": [], "grain": 1}
    assert refutes(seen, 1, data)
    with pytest.raises(RefusedError):
        core_program(seen, 1, **{**data, **wrong})


def test_working_sets_are_removed_first() -> None:
    data = drawn(2, random.Random(0))
    with pytest.raises(RefusedError, match="first"):
        core_program(replace(plain([1, 1], []), working=(1, 1)), 1, **data)

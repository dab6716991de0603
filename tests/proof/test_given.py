"""Pins, limits and stages that differ: the checker prices, refuses and proves as brute force does."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pytest

from framework.errors import UserError
from framework.formats.training import training_graph
from framework.model.device import Device
from framework.model.device_chain import DeviceChain, Devices
from framework.model.graph import ModelGraph
from framework.model.instance import instance_from_lists
from framework.model.memory import node_memory
from framework.model.pricing import quantise
from framework.model.problem import Partition, Problem, bottleneck, obeys
from framework.model.topology import stable_topological_order
from framework.model.training import Training
from framework.portfolio.constraints import Constraints, constrain
from framework.portfolio.context.local import run_entry
from framework.portfolio.logs.read import given_of
from framework.portfolio.logs.write import _Writer
from framework.portfolio.records import BoundRecord
from framework.proof.check import proven_by
from framework.proof.given import Given, constrained
from framework.proof.ideals import ideal_program
from framework.proof.problem import Limit, PlainProblem, RefusedError, Shared, plain_problem
from framework.proof.reductions import anchor, charge, contract, hold, narrow, uniform
from framework.proof.sums import simple
from framework.registry import load_plugins, registry
from framework.structure.reduction.dominance import moves_of_reduction
from framework.testing.brute_force import brute_force_optimum
from framework.testing.wide_costs import random_device_chain, random_physical_graph
from tests.proof.cases import limited_problems, moves

ROUNDS = "fixing:over=core-fluid,max_sweeps=1,polish=false"
SMALL_CORES = "core-fluid:first_ideals=4,max_ideals=8"
Drawn: TypeAlias = tuple[ModelGraph, Devices | None, int]


def refutes(problem: PlainProblem, threshold: int) -> bool:
    try:
        return ideal_program(problem, threshold)[0] == threshold + 1
    except RefusedError:
        return False


def test_partitions_cost_what_the_model_says_and_are_refused_where_they_break_a_limit() -> None:
    rng, refused, priced = np.random.default_rng(3), 0, 0
    for problem, seen, _ in limited_problems(100):
        stage = np.sort(rng.integers(0, problem.stages, problem.instance.n))
        limit = problem.instance.stage_limit
        if limit is not None and len(limit.anchors) and rng.random() < 0.7:
            stage[limit.anchors] = np.arange(problem.stages)
        partition = Partition(stage_of=stage)
        try:
            cost = bottleneck(problem, partition)
        except ValueError:
            cost = -1
        if cost >= 0 and obeys(problem, partition):
            assert seen.bottleneck(stage.tolist()) == cost
            priced += 1
        else:
            with pytest.raises(RefusedError):
                seen.bottleneck(stage.tolist())
            refused += 1
    assert min(priced, refused) > 15


def test_the_ideal_program_refutes_just_below_the_optimum_and_nothing_above() -> None:
    feasible = 0
    for problem, seen, optimum in limited_problems(150):
        assert refutes(seen, optimum - 1)
        if optimum <= problem.instance.largest_cost:
            assert not any(refutes(seen, optimum + more) for more in (0, 1, 10))
            feasible += 1
    assert feasible > 60


def test_the_compiled_loop_finds_what_the_plain_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.proof.ideals.PLAIN_STEPS", -1)
    for _, seen, optimum in limited_problems(40, first=900):
        assert ideal_program(seen, optimum - 1) == ideal_program(seen, optimum - 1, plain=True)


def test_no_move_that_is_allowed_changes_the_optimum() -> None:
    allowed = made = 0
    for problem, seen, optimum in limited_problems(150, first=500):
        reduced, pairs = moves_of_reduction(problem.instance)
        feasible = optimum <= problem.instance.largest_cost
        smaller = contract(seen, moves(pairs).data["moves"])
        made += len(pairs)
        assert smaller.n == reduced.n
        assert refutes(smaller, optimum - 1)
        assert not (feasible and refutes(smaller, optimum))
        for x, y in itertools.permutations(range(seen.n), 2):
            try:
                smaller = contract(seen, [x, y])
            except RefusedError:
                continue
            allowed += 1
            assert refutes(smaller, optimum - 1)
            assert not (feasible and refutes(smaller, optimum))
    assert min(allowed, made) > 20


def test_relaxing_steps_raise_no_optimum() -> None:
    differing = limited = 0
    for problem, seen, optimum in limited_problems(120, first=700):
        if optimum > problem.instance.largest_cost:
            continue
        differing += bool(seen.kinds)
        alike = uniform(seen)
        charged = charge(seen, [min(q.users) for q in seen.shared])
        ways = [alike, charged, uniform(charged), narrow(alike), narrow(uniform(charged))]
        for change, amount in itertools.product((hold, anchor), (0, 3, optimum)):
            with suppress(RefusedError):
                ways.append(change(alike, amount))
                ways.append(anchor(ways[-1], 0))
        limited += len(ways) > 5
        for relaxed in ways:
            assert not refutes(relaxed, optimum)
        assert simple(alike) <= optimum
        assert not refutes(narrow(seen), optimum)
    assert min(differing, limited) > 15


def test_what_is_kept_counts_for_each_microbatch_in_flight() -> None:
    limit = Limit(sizes=(0, 0), shared=(), worksets=(0, 0), rooms=(8, 8), kept=(4, 4), in_flight=(2, 1))
    instance = instance_from_lists([1, 2], [(0, 9, [1])])
    problem = replace(plain_problem(instance, 2), limit=limit)
    assert problem.bottleneck([0, 1]) == 2 + 9
    assert problem.bottleneck([1, 1]) == 3
    with pytest.raises(RefusedError, match="holds more than it may"):
        problem.bottleneck([0, 0])
    assert refutes(problem, 2)
    assert not refutes(problem, 3)
    # All of stage 1 holds 8: with more of it as parameters, it would overflow.
    held = hold(problem, 8)
    assert (held.parameters, held.capacity) == ((4, 4), 8)
    with pytest.raises(RefusedError, match="nothing shows"):
        contract(problem, [0, 1])
    free = replace(problem, limit=limit._replace(kept=(0, 4)))
    assert contract(free, [0, 1]).limit == limit._replace(sizes=(0,), worksets=(0,), kept=(4,))
    once = Shared(4, frozenset({0}))
    with pytest.raises(RefusedError, match="nothing shows"):
        contract(replace(problem, limit=limit._replace(kept=(0, 4), shared_kept=(once,))), [0, 1])


def drawn_constraints(graph: ModelGraph, stages: int, rng: np.random.Generator) -> Constraints:
    names, order = graph.node_names, stable_topological_order(graph.topology)
    n = len(names)
    groups = [rng.permutation(n)[:2].tolist() for _ in range(int(rng.integers(0, 2)))]
    stage_of = np.sort(rng.integers(0, stages, n))
    pinned = rng.permutation(n)[: int(rng.integers(0, 3))]
    limit = None
    if rng.random() < 0.4:
        memory = node_memory(graph)
        held = memory.parameters.sum() + memory.state.sum() + memory.shared.sum() + 2 * memory.activations.sum()
        most = int(held + memory.worksets.max())
        limit = int(rng.integers(most // 3, most + 2))
    return Constraints(
        same_stage=tuple(tuple(names[v] for v in group) for group in groups if len(group) > 1),
        no_cut=(names[int(rng.integers(n))],) if rng.random() < 0.3 else (),
        pins=tuple((names[int(order[i])], int(stage_of[i])) for i in pinned),
        memory_limit=limit,
    )


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """A random graph with something fixed beforehand, as the solver and as the checker see it."""

    problem: Problem
    seen: PlainProblem
    optimum: int
    writer: _Writer

    @property
    def feasible(self) -> bool:
        return self.optimum <= self.problem.instance.largest_cost


def fixed_problems(draw: Callable[[int], Drawn], seeds: Iterable[int]) -> Iterator[Fixed]:
    for seed in seeds:
        graph, device, stages = draw(seed)
        rng = np.random.default_rng([seed, 77])
        try:
            constraints = drawn_constraints(graph, stages, rng)
            if isinstance(device, Device) and rng.random() < 0.3:
                device = replace(device, memory_limit=float(node_memory(graph).parameters.sum()) * 0.9 + 1)
            priced = quantise(graph, device).instance
            instance = constrain(priced, graph, constraints, stages, device)
        except UserError:
            continue
        if instance.n > 9:
            continue
        of_priced = np.empty(priced.n, np.int64)
        of_priced[priced.node_of_input] = instance.node_of_input
        problem, node_of = Problem(instance=instance, stages=stages), priced.node_of_input.tolist()
        yield Fixed(
            problem=problem,
            seen=constrained(plain_problem(priced, stages), graph, node_of, given_of(constraints, graph), device),
            optimum=brute_force_optimum(problem),
            writer=_Writer(priced, instance, of_priced, {}, limited=constraints.memory_limit is not None),
        )


def of_training(draw: Callable[[int], Drawn]) -> Callable[[int], Drawn]:
    """Return what draws training steps of graphs, most with activations, on devices that do not count working sets."""

    def drawn(seed: int) -> Drawn:
        graph, device, stages = draw(seed)
        rng = np.random.default_rng([seed, 78])
        ops = tuple(("MatMul", "Softmax", "Relu", "Add")[i] for i in rng.integers(0, 4, graph.topology.n))
        training = Training(microbatches=int(rng.integers(1, 5)), optimizer_states=int(rng.integers(0, 3)))
        assert device is not None
        if isinstance(device, DeviceChain):
            device = replace(device, devices=tuple(replace(one, activations=False) for one in device.devices))
        else:
            device = replace(device, activations=False)
        return training_graph(replace(graph, ops=ops), training), device, stages

    return drawn


TRAINING = (of_training(random_physical_graph), of_training(random_device_chain))
DRAWS = (random_physical_graph, random_device_chain, *TRAINING)


@pytest.mark.parametrize("draw", DRAWS)
def test_what_is_fixed_beforehand_means_what_it_means_to_the_solver(draw: Callable[[int], Drawn]) -> None:
    feasible = moved = 0
    for case in fixed_problems(draw, range(120)):
        steps = case.writer._contraction
        smaller = contract(case.seen, steps[0].data["moves"]) if steps else case.seen
        moved += len(steps)
        for problem in (case.seen, smaller):
            assert refutes(problem, case.optimum - 1)
            assert not (case.feasible and refutes(problem, case.optimum))
        feasible += case.feasible
    assert feasible > 40
    assert moved > 10


def test_whole_modules_are_stated_as_the_sets_of_their_nodes() -> None:
    graph, *_ = random_physical_graph(4)
    names = tuple(f"layers.{v % 2}.op{v}.add" if v < 4 else f"head.op{v}.mul" for v in range(graph.topology.n))
    given = given_of(Constraints(whole_modules=("layers.*",)), replace(graph, node_names=names))
    assert given == Given(same_stage=(names[:4:2], names[1:4:2]))


@pytest.mark.parametrize("entry", ["simple", "anchored-cut", "stage-cover", "nested-cuts", SMALL_CORES, ROUNDS])
def test_bounds_of_entries_that_know_no_limits_become_steps(entry: str) -> None:
    load_plugins()
    written = Counter[str]()
    seeds = [range(100), range(50), range(60), range(40)]
    cases = [case for draw, row in zip(DRAWS, seeds, strict=True) for case in fixed_problems(draw, row)]
    for case in cases:
        instance = case.problem.instance
        for reduced in (instance, case.writer._reduced):
            posed = reduced.without_limit().uniform().without_worksets()
            if len(posed.shared) or not case.feasible:
                continue
            outcome, _ = run_entry(registry.create(entry), case.problem.on(posed))
            if outcome.dual is None or outcome.dual.certificate is None:
                continue
            record = BoundRecord(
                source=entry,
                value=0.0,
                ticks=outcome.dual.value,
                soundness=outcome.dual.soundness,
                seconds=0.0,
                certificate=outcome.dual.certificate,
            )
            steps = case.writer.steps_of(record)
            assert steps is not None
            assert steps[-1].rule != "ideal-program"
            assert outcome.dual.value <= proven_by(case.seen, steps) <= case.optimum
            written.update(step.rule for step in steps)
    assert min(written[rule] for rule in ("contract", "uniform", "hold", "anchor")) > 1, written

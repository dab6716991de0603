"""`spreading-metric`: rows that hold for every partition, bounds that are exact, certificates that cannot be bent."""

from __future__ import annotations

import copy
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Certificate, Limit, Reason, Soundness
from framework.contracts import Refuted, Undecided
from framework.errors import OutOfTimeError, UserError
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.pricing.network import incidence_of
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.spreading.cutting_planes import Spreading
from framework.structure.spreading.paths import Tree, grow_tree
from framework.structure.spreading.rows import paths_of, row_of, total_row
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem, random_shared_problem

load_plugins()


def _context(problem: Problem) -> LocalContext:
    return LocalContext(Board(problem, clock=lambda: 0.0), "test")


def _certificate(seed: int) -> tuple[Problem, Certificate, int]:
    problem = Problem(instance=random_layered_instance(seed, 18, width=6, capacity_share=0.2), stages=4)
    _, board = run_entry(registry.create("ideal-dp"), problem)
    assert board.incumbent is not None
    _, found = run_entry(registry.create("spreading-metric"), problem, name="spreading-metric")
    assert found.dual is not None
    assert found.dual.certificate is not None
    assert simple_bound(problem) <= found.dual.value <= board.incumbent.value
    return problem, found.dual.certificate, found.dual.value


def _cut_nets(spreading: Spreading, stage_of: np.ndarray) -> np.ndarray:
    shape = spreading.shape
    stages = stage_of[shape.net_pins]
    if not len(shape.net_cost):
        return np.zeros(0, np.int64)
    low = np.minimum.reduceat(stages, shape.net_ptr[:-1])
    return (np.maximum.reduceat(stages, shape.net_ptr[:-1]) > low).astype(np.int64)


def _shared_problem(seed: int, max_nodes: int, max_stages: int) -> Problem:
    return random_shared_problem(seed, max_nodes, max_stages).without_limit()


@settings(derandomize=True, deadline=None, max_examples=120)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_every_partition_satisfies_every_row(seed: int, shares: bool) -> None:
    problem = (_shared_problem if shares else random_problem)(seed, 6, 3)
    rng = np.random.default_rng(seed)
    spreading = Spreading(problem)
    shape, n, nets = spreading.shape, problem.instance.n, len(spreading.shape.net_cost)
    tree = Tree(np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(nets, np.int64), np.zeros(n, np.int64))
    rows = [total_row(spreading.payers.shape, problem.useful_stages, (), ())]
    for root in range(n):
        for share in range(1 + problem.instance.can_overflow):
            lengths = np.round(rng.random(nets) * rng.choice([0.1, 0.7, 1.5]), 2).clip(0, 1)
            count = grow_tree(shape, incidence_of(shape), lengths, root, tree, np.zeros(n))
            paths = paths_of(tree, count, root, share)
            rows.append(row_of(spreading.payers.at(root), paths))
            # Nobody else pays more: a row of the usual users says less.
            usual = row_of(spreading.payers.shape, paths)
            assert rows[-1].least + (-rows[-1].factor @ lengths) >= usual.least + (-usual.factor @ lengths) - 1e-6
    for stage_of in product(range(problem.useful_stages), repeat=n):
        partition = Partition(stage_of=np.array(stage_of))
        try:
            value = bottleneck(problem, partition)
        except ValueError:
            continue
        cut = _cut_nets(spreading, partition.stage_of)
        assert all(row.share * value + int(row.factor @ cut) >= row.least for row in rows)


def test_a_threshold_at_the_optimum_is_never_refuted_and_proofs_are_checked() -> None:
    tight = simple = 0
    for seed in range(60_000, 60_250):
        problem = random_problem(seed, max_nodes=8) if seed < 60_200 else _shared_problem(seed, 7, 4)
        optimum = brute_force_optimum(problem)
        spreading = Spreading(problem)
        if seed % 3:
            spreading.price_pairs(lambda: False)
        best = 0
        for threshold in {optimum + 2, optimum, optimum - 1, optimum // 2} - {-1}:
            proof = spreading.solve(threshold)
            if proof is not None:
                assert proof.value <= optimum, f"random_problem({seed}) at {threshold}"
                assert Spreading(problem).verify(proof) == proof.value
                best = max(best, proof.value)
        tight += best == optimum
        simple += simple_bound(problem) == optimum
    assert tight > simple + 20


def test_parameters_are_charged_to_the_root_of_a_row() -> None:
    """More is proven with the parameters counted so than where the same user pays in all rows."""
    better = 0
    for seed in range(40):
        problem = _shared_problem(seed, 7, 4)
        values = []
        for posed in (problem, problem.charged()):
            spreading = Spreading(posed)
            spreading.price_pairs(lambda: False)
            proof = spreading.solve(brute_force_optimum(problem))
            values.append(0 if proof is None else proof.value)
        better += values[0] > values[1]
        assert values[0] <= brute_force_optimum(problem)
    assert better > 3


def test_it_beats_the_relaxation_of_the_exact_model_on_wide_graphs() -> None:
    for seed in range(3):
        problem = Problem(instance=random_layered_instance(seed, 30, width=12), stages=4)
        values = []
        for name in ("lp", "spreading-metric"):
            _, board = run_entry(registry.create(name), problem, name=name)
            assert board.dual is not None
            values.append(board.dual.value)
        assert values[1] > values[0] > 0


def test_decisions() -> None:
    formulation = registry.create_decision("spreading-metric")
    refuted = 0
    for seed in range(61_000, 61_060):
        problem = random_problem(seed, max_nodes=8)
        optimum = brute_force_optimum(problem)
        for threshold in (optimum, optimum + 1, 1 << 44, 1 << 62):
            assert isinstance(formulation.decide(problem, threshold, _context(problem)), Undecided)
        if optimum:
            refuted += isinstance(formulation.decide(problem, optimum - 1, _context(problem)), Refuted)
    assert refuted > 20


def test_a_certificate_is_checked_and_a_tampered_one_proves_nothing_false() -> None:
    rejected = 0
    checker = registry.create("spreading-metric")
    for seed in range(4):
        problem, certificate, value = _certificate(seed)
        assert checker.check(problem, certificate) == value
        rng = np.random.default_rng(seed)
        _, board = run_entry(registry.create("ideal-dp"), problem)
        assert board.incumbent is not None
        for _ in range(120):
            data: dict[str, Any] = copy.deepcopy(dict(certificate.data))
            _bend(data, rng, problem)
            try:
                proven = checker.check(problem, replace(certificate, data=data))
            except ValueError:
                rejected += 1
                continue
            assert proven <= board.incumbent.value, data
    assert rejected > 100


def _bend(data: dict[str, Any], rng: np.random.Generator, problem: Problem) -> None:
    """Change something in a certificate for the better of whoever claims more than is true."""
    row = data["rows"][int(rng.integers(len(data["rows"])))]
    kind = int(rng.integers(9))
    if kind == 0 and row["steps"]:
        row["steps"][int(rng.integers(len(row["steps"])))] = int(rng.integers(-1, problem.instance.n))
    elif kind == 1 and row["steps"]:
        del row["steps"][:3]
    elif kind == 2:
        row["target"] = int(rng.integers(-1, problem.instance.n))
    elif kind == 3:
        row["share"] = int(rng.integers(-1, 3))
    elif kind == 4 and row["cuts"]:
        row["cuts"][int(rng.integers(len(row["cuts"])))] = int(rng.integers(0, problem.instance.n))
    elif kind == 5:
        at = int(rng.integers(len(data["multipliers"])))
        data["multipliers"][at] = int(data["multipliers"][at] * rng.choice([-1, 0, 2, 100]))
    elif kind == 6:
        data["threshold"] = int(data["threshold"] * rng.choice([0.5, 1.1, 3.0]))
    elif kind == 7:
        data["nets"].append(int(rng.integers(problem.instance.topology.m)))
        data["cliques"].append(rng.integers(0, problem.instance.n, int(rng.integers(0, 9))).tolist())
    else:
        row["root"] = int(rng.integers(problem.instance.n))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"multipliers": []}, "multiplier"),
        ({"threshold": -1}, "negative"),
        ({"nets": [0, 0], "cliques": [[0, 1], [0, 1]]}, "twice"),
        ({"nets": [0], "cliques": [[0]]}, "out of range"),
        ({"nets": [0], "cliques": [[0, 0]]}, "may share"),
    ],
)
def test_what_a_certificate_may_not_say(change: dict[str, Any], message: str) -> None:
    problem, certificate, _ = _certificate(1)
    with pytest.raises(ValueError, match=message):
        registry.create("spreading-metric").check(problem, replace(certificate, data={**certificate.data, **change}))


def test_windows_alone_refute_exactly() -> None:
    problem = Problem(instance=random_layered_instance(3, 12, width=2), stages=3)
    chain = simple_bound(problem)
    answer = registry.create_decision("spreading-metric").decide(problem, chain, _context(problem))
    assert isinstance(answer, Refuted)
    assert answer.certificate is None or registry.create("spreading-metric").check(problem, answer.certificate) > chain


def test_it_ends_where_windows_refute_more_than_the_program() -> None:
    for seed in range(3_000, 3_060):
        problem = random_problem(seed)
        outcome, board = run_entry(registry.create("spreading-metric:resolution=0"), problem, seconds=60.0)
        assert outcome.termination.reason is Reason.FINISHED, f"random_problem({seed})"
        assert board.dual is None or board.dual.value <= brute_force_optimum(problem)


def test_limits_and_nonsense() -> None:
    problem = Problem(instance=random_layered_instance(1, 60, width=30), stages=3)
    outcome, _ = run_entry(registry.create("spreading-metric:max_nodes=50"), problem)
    assert outcome.termination.limit is Limit.SIZE
    answer = registry.create_decision("spreading-metric:max_nodes=50").decide(problem, 10**6, _context(problem))
    assert isinstance(answer, Undecided)
    with pytest.raises(OutOfTimeError):
        Spreading(problem).solve(10**6, should_stop=lambda: True)
    for spec in ("spreading-metric:resolution=1", "spreading-metric:max_nodes=0"):
        with pytest.raises(UserError):
            registry.create(spec)


def test_its_soundness_is_certified() -> None:
    problem, _, _ = _certificate(2)
    _, board = run_entry(registry.create("spreading-metric"), problem, name="spreading-metric")
    assert board.dual is not None
    assert board.dual.soundness is Soundness.CERTIFIED

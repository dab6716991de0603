"""Certificates of formulations become steps that prove as much, on whatever instance they speak of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from framework.bounds import Certificate, Soundness
from framework.model.instance import Instance
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.portfolio.logs.write import _Writer
from framework.portfolio.records import BoundRecord
from framework.proof.check import proven_by
from framework.proof.problem import plain_problem
from framework.registry import load_plugins, registry
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance
from tests.proof.cases import drawn_problems

ROUNDS = "fixing:over=core-fluid,max_sweeps=1,polish=false"
MERGED = "merged:over=spreading-metric"
RARE = ("lp", MERGED)
"""What seldom proves more than the simple bound of such problems."""
SMALL_CORES = "core-fluid:first_ideals=4,max_ideals=8"


def posed(instance: Instance) -> Iterator[Instance]:
    """Yield the instances that entries are given: all relaxations of an instance, and of its reduction."""
    for reduced in (instance, reduce_exact(instance)):
        yield from (reduced, reduced.charged(), reduced.charged().without_worksets())


def steps_of(problem: Problem, certificate: Certificate | None, ticks: int, source: str) -> int:
    """Return what the steps prove that are written for a bound."""
    record = BoundRecord(
        source=source, value=0.0, ticks=ticks, soundness=Soundness.EXACT, seconds=0.0, certificate=certificate
    )
    steps = _Writer(problem.instance, problem.instance, np.arange(problem.instance.n), {}).steps_of(record)
    assert steps is not None
    return proven_by(plain_problem(problem.instance, problem.stages), steps)


@pytest.mark.parametrize(
    "entry",
    [
        "simple",
        "tensor-count",
        "packing",
        "anchored-cut",
        "stage-cover",
        "counting",
        "spreading-metric",
        "lp",
        MERGED,
        SMALL_CORES,
        ROUNDS,
    ],
)
def test_a_certificate_becomes_steps_that_prove_as_much(entry: str) -> None:
    load_plugins()
    written = 0
    for problem, _, optimum in drawn_problems(24, first=300):
        for instance in posed(problem.instance):
            if "spreading-metric" in entry and len(instance.shared):
                # No rule covers these.
                continue
            outcome, _ = run_entry(registry.create(entry), problem.on(instance))
            if outcome.dual is None or outcome.dual.certificate is None:
                continue
            proven = steps_of(problem, outcome.dual.certificate, outcome.dual.value, entry)
            assert outcome.dual.value <= proven <= optimum
            written += 1
    assert written > (4 if entry in RARE else 10)


@pytest.mark.parametrize("stages", [2, 3, 4])
def test_a_tree_of_nested_cuts_becomes_a_step(stages: int) -> None:
    load_plugins()
    written = branched = shared = 0
    for seed in range(40 if stages == 2 else 16):
        instance = random_layered_instance(seed, 12 if stages == 2 else 9, capacity_share=(None, 0.3, 0.6)[seed % 3])
        for posed_as in (instance, reduce_exact(instance)):
            problem = Problem(instance=instance, stages=stages)
            outcome, _ = run_entry(registry.create("nested-cuts"), problem.on(posed_as))
            assert outcome.dual is not None
            certificate = outcome.dual.certificate
            if certificate is not None:
                optimum = brute_force_optimum(problem)
                assert steps_of(problem, certificate, outcome.dual.value, "nested-cuts") == optimum
                written += 1
                branched += len(certificate.data["tree"]) > 1
                shared += bool(certificate.data["shares"])
    assert written > (30 if stages == 2 else 12)
    assert branched > 8
    assert (shared > 4) == (stages > 2)


def test_any_bound_of_a_narrow_graph_becomes_an_ideal_program() -> None:
    for problem, _, optimum in drawn_problems(6, first=300):
        assert steps_of(problem, None, optimum, "fixing") == optimum

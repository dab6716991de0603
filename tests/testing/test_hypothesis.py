"""The strategies for Hypothesis: what they draw, and that failures shrink."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import find, given, settings

from framework.model.instance import UNLIMITED, Instance
from framework.model.problem import Problem
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.testing.brute_force import brute_force_optimum
from framework.testing.hypothesis import instances, problems

load_plugins()
SETTINGS = settings(derandomize=True, deadline=None, max_examples=100, database=None)
SEARCH = settings(derandomize=True, deadline=None, max_examples=3000, database=None)


@SETTINGS
@given(problems(max_nodes=7))
def test_bounds_hold_on_drawn_problems(problem: Problem) -> None:
    optimum = brute_force_optimum(problem)
    for entry in ("simple", "anchored-cut", "ideal-dp", "core-fluid:first_ideals=4,max_ideals=16"):
        _, board = run_entry(registry.create(entry), problem)
        assert board.interval.dual is None or board.interval.dual <= optimum
        assert board.interval.incumbent is None or board.interval.incumbent >= optimum


@SETTINGS
@given(instances(max_nodes=5, max_cost=3, overflow=True))
def test_limits_are_kept(instance: Instance) -> None:
    assert instance.n <= 5
    assert max(instance.work.max(), instance.parameter_cost.max(), instance.tensor_cost.max(initial=0)) <= 6
    assert instance.capacity < UNLIMITED


@pytest.mark.parametrize(
    ("shape", "nodes"),
    [
        (lambda i: i.can_overflow, 1),
        (lambda i: bool((np.diff(i.topology.consumer_ptr) >= 2).any()), 3),
        (lambda i: i.n >= 4 and not i.m, 4),
        (lambda i: len(set(i.topology.producer.tolist())) < i.m, 3),
    ],
    ids=["overflow", "hyperedge", "no edges", "several tensors a node"],
)
def test_every_shape_occurs_and_shrinks(shape: object, nodes: int) -> None:
    assert callable(shape)
    found = find(instances(), shape, settings=SEARCH)
    assert found.n == nodes


def test_stages_may_outnumber_nodes() -> None:
    found = find(problems(), lambda problem: problem.stages > problem.instance.n, settings=SEARCH)
    assert (found.instance.n, found.stages) == (1, 2)


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="max_nodes"):
        instances(max_nodes=0)
    with pytest.raises(ValueError, match="max_stages"):
        problems(max_stages=0)


def test_hypothesis_is_loaded_only_when_it_is_used() -> None:
    code = "import sys, framework.testing.hypothesis; assert 'hypothesis' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

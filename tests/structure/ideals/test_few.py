"""The table of few ideals: costs of stages by their definition, optima by brute force."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck, stage_costs
from framework.structure.ideals.few import best_chain, ideal_table
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_problem, random_shared_problem


def never() -> bool:
    return False


ANTICHAIN = instance_from_lists([1] * 12, [])


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=200, derandomize=True, deadline=None)
def test_it_finds_the_optimum(seed: int, shared: bool) -> None:
    problem = random_shared_problem(seed) if shared else random_problem(seed)
    problem = problem.without_limit()
    optimum = brute_force_optimum(problem)
    table = ideal_table(problem.instance, 10_000)
    assert table is not None
    found = best_chain(table, problem.useful_stages, problem.instance.largest_cost, never)
    assert found is not None
    assert found[0] == bottleneck(problem, found[1]) == optimum
    assert best_chain(table, problem.useful_stages, optimum - 1, never) is None
    assert best_chain(table, problem.useful_stages, optimum, never) is not None


@pytest.mark.parametrize("seed", range(30))
def test_stages_between_ideals_cost_what_their_definition_says(seed: int) -> None:
    instance = random_shared_problem(seed).instance.without_limit()
    table = ideal_table(instance, 10_000)
    assert table is not None
    assert not table.inside[0].any()
    assert table.inside[-1].all()
    problem = Problem(instance=instance, stages=3)
    first, last = table.first_stages(), table.last_stages()
    for i in range(len(table)):
        ends, costs = table.stages_after(i, instance.largest_cost)
        below = [j for j in range(i + 1, len(table)) if (table.inside[j] >= table.inside[i]).all()]
        assert ends.tolist() == below
        for j, cost in zip(below, costs.tolist(), strict=True):
            stage = 2 - table.inside[i].astype(np.int64) - table.inside[j]
            total = stage_costs(problem, Partition(stage_of=stage)).total
            assert cost == total[1]
            assert i or cost == first[j]
            assert j < len(table) - 1 or cost == last[i]


def test_more_ideals_than_allowed_are_no_table() -> None:
    assert ideal_table(ANTICHAIN, 4095) is None
    table = ideal_table(ANTICHAIN, 4096)
    assert table is not None
    assert len(table) == 4096
    assert ideal_table(instance_from_lists([1] * 50, []), 50) is None


def test_it_says_when_it_was_stopped() -> None:
    table = ideal_table(ANTICHAIN, 4096)
    assert table is not None
    with pytest.raises(OutOfTimeError):
        best_chain(table, 3, ANTICHAIN.largest_cost, lambda: True)


def test_no_kernel_is_loaded() -> None:
    code = (
        "import sys\n"
        "from formulations.few_ideals import FewIdeals\n"
        "from framework.model.problem import Problem\n"
        "from framework.portfolio.context.local import run_entry\n"
        "from framework.structure.reduction.dominance import reduce_exact\n"
        "from framework.testing.instances import random_layered_instance\n"
        "instance = reduce_exact(random_layered_instance(1, 12), load_kernels=False)\n"
        "outcome, _ = run_entry(FewIdeals(), Problem(instance=instance, stages=3))\n"
        "assert outcome.dual is not None\n"
        "assert 'numba' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr

"""`benders-mip`: cuts that hold and are tight, and the bound of the superblock program at the end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Limit, Reason
from framework.errors import UserError
from framework.model.problem import Partition, Problem, stage_costs
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.models.superblocks import TransferCut
from framework.structure.models.transfer_cuts import transfer_cuts
from framework.structure.poset.topological_orders import orders_of_keys
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


def value(cut: TransferCut, problem: Problem, stage_of: np.ndarray) -> int:
    """Evaluate a cut at a partition, from the meaning of y alone: y[j, v] = "v is in one of the first j groups"."""
    cost = problem.instance.tensor_cost[cut.tensor]
    of = stage_of[cut.of] < cut.of_boundary
    minus = stage_of[cut.minus] < cut.minus_boundary
    return int((cost * (of.astype(np.int64) - minus)).sum())


@settings(derandomize=True, deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6))
def test_cuts_are_tight_where_they_are_made_and_hold_everywhere(seed: int) -> None:
    problem = random_problem(seed)
    rng = np.random.default_rng(seed)
    n = problem.instance.n
    partitions = []
    for order in orders_of_keys(problem.instance, rng.random((12, n))):
        stage_of = np.empty(n, np.int64)
        stage_of[order] = np.sort(rng.integers(0, problem.stages, n))
        costs = stage_costs(problem, Partition(stage_of=stage_of))
        partitions.append((stage_of, costs.inbound + costs.outbound))
    for made_at, transfers in partitions[:4]:
        cuts = transfer_cuts(problem.instance, made_at, problem.stages)
        assert {cut.group for cut in cuts} == set(np.flatnonzero(transfers).tolist())
        for cut in cuts:
            assert value(cut, problem, made_at) == transfers[cut.group]
            for stage_of, paid in partitions:
                assert value(cut, problem, stage_of) <= paid[cut.group]


@pytest.mark.parametrize("groups", [2, 4])
def test_it_ends_with_the_bound_of_the_superblock_program(groups: int) -> None:
    for seed in range(2):
        problem = Problem(instance=random_layered_instance(seed, 14, width=3, capacity_share=0.4), stages=4)
        duals = []
        for spec in (f"benders-mip:groups={groups},solver=cp-sat", f"superblocks:groups={groups},solver=cp-sat"):
            outcome, board = run_entry(registry.create(spec), problem, name=spec)
            assert outcome.termination.reason in (Reason.FINISHED, Reason.OPTIMAL)
            assert board.dual is not None
            duals.append(board.dual.value)
        assert duals[0] == duals[1]


def test_limits() -> None:
    problem = Problem(instance=random_layered_instance(3, 20, width=6), stages=4)
    for spec, limit in (("max_rounds=1", Limit.ITERATIONS), ("max_size=10", Limit.SIZE)):
        outcome, _ = run_entry(registry.create(f"benders-mip:{spec}"), problem)
        assert outcome.termination.limit is limit
    with pytest.raises(UserError):
        registry.create("benders-mip:groups=0")

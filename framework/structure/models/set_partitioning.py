"""The set-partitioning model: choose at most k known stages that cover each node once, in a valid order.

A boolean z_c says that stage c is taken; each node is in exactly one. Every node has a rank, all nodes of a stage the
same, and along an edge between two different stages the rank grows. So the stages taken are in an order that respects
precedence, and by increasing rank they are a partition, whatever ranks two unrelated stages have.

Source: set partitioning as in column generation (Dantzig and Wolfe, 1960); the ranks are this project's.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from framework.model.problem import Partition, Problem
from framework.structure.poset.closure import BoolArray, transitive_reduction


def partition_of_stages(
    problem: Problem,
    stages: BoolArray,
    *,
    seconds: float,
    threads: int = 1,
    seed: int = 0,
    should_stop: Callable[[], bool] = lambda: False,
) -> Partition | None:
    """Return a partition whose stages are all among the given ones, ``[stages, n]``; None if none was found in time."""
    from ortools.sat.python import cp_model

    from framework.structure.solvers.cp_sat import solve_translated

    instance, k = problem.instance, problem.useful_stages
    if not stages.any(axis=0).all():
        return None
    model = cp_model.CpModel()
    taken = [model.new_bool_var("") for _ in range(len(stages))]
    of_node = [np.flatnonzero(stages[:, v]).tolist() for v in range(instance.n)]
    for holders in of_node:
        model.add_exactly_one([taken[c] for c in holders])
    model.add(cp_model.LinearExpr.weighted_sum(taken, [1] * len(taken)) <= k)
    ranks = [model.new_int_var(0, k - 1, "") for _ in range(instance.n)]
    for c, stage in enumerate(stages):
        nodes = np.flatnonzero(stage).tolist()
        for u, v in itertools.pairwise(nodes):
            model.add(ranks[u] == ranks[v]).only_enforce_if(taken[c])
    # A chain of edges grows where one of them does: those of the transitive reduction are enough.
    tails, heads = transitive_reduction(instance)
    for u, v in zip(tails.tolist(), heads.tolist(), strict=True):
        together = [taken[c] for c in np.flatnonzero(stages[:, u] & stages[:, v]).tolist()]
        same = cp_model.LinearExpr.weighted_sum(together, [1] * len(together))
        model.add(ranks[v] >= ranks[u] + 1 - same)
    solver, name = solve_translated(model, seconds=seconds, threads=threads, seed=seed, should_stop=should_stop)
    if name not in ("OPTIMAL", "FEASIBLE"):
        return None
    chosen = [c for c in range(len(stages)) if solver.value(taken[c])]
    chosen.sort(key=lambda c: solver.value(ranks[int(np.argmax(stages[c]))]))
    stage_of = np.zeros(instance.n, np.int64)
    for b, c in enumerate(chosen):
        stage_of[stages[c]] = b
    return Partition(stage_of=stage_of)

"""Proofs by the linear model of groups of stages of small random problems: multipliers are the duals of a solver."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from itertools import pairwise, product
from typing import Any

import numpy as np

from framework.proof.log import Step
from framework.proof.lp import COST, RowSum
from framework.proof.problem import PlainProblem, RefusedError
from framework.proof.stages import stage_windows

SCALE = 1 << 16
"""Multipliers are rounded to multiples of its inverse."""


def lp_step(problem: PlainProblem, threshold: int, rng: random.Random) -> Step | None:
    """Return a step of the rule *lp dual* over groups drawn at random; None if there are no multipliers."""
    if threshold < 0:
        return None
    ends = sorted(rng.sample(range(1, problem.filled), rng.randrange(problem.filled)))
    data: dict[str, Any] = {
        "threshold": threshold,
        "sizes": [end - start for start, end in pairwise((0, *ends, problem.filled))],
        "tensors": [list(row) for row in sorted({(t.producer, *sorted(t.consumers)) for t in problem.tensors})],
        "shared": [list(row) for row in sorted({tuple(sorted(q.users)) for q in problem.shared if len(q.users) > 1})],
    }
    if any(first > last for first, last in stage_windows(problem, threshold)):
        return Step(rule="lp-dual", data={**data, "rows": []})
    rows, sums = list[list[int]](), list[RowSum]()
    for row, added in all_rows(problem, data):
        rows.append(row)
        sums.append(added)
    duals = _duals(sums)
    if duals is None:
        return None
    kept = [[multiplier, *row] for row, multiplier in zip(rows, duals, strict=True) if multiplier > 0]
    return Step(rule="lp-dual", data={**data, "rows": kept})


def all_rows(problem: PlainProblem, data: dict[str, Any]) -> Iterator[tuple[list[int], RowSum]]:
    """Yield all rows that there are, without multipliers, each with what the checker makes of it."""
    windows = stage_windows(problem, data["threshold"])

    def empty() -> RowSum:
        return RowSum(problem, windows, data["sizes"], data["tensors"], data["shared"])

    for kind, (_, ends) in enumerate(empty().kinds):
        for which in product(*map(range, ends)):
            added = empty()
            try:
                added.add([1, kind, *which])
            except RefusedError:
                continue
            if added.factor or kind == COST:
                yield [kind, *which], added


def _duals(sums: Sequence[RowSum]) -> list[int] | None:
    """Return integer multipliers of rows that bound the bottleneck well; None if the solver finds none."""
    from scipy.optimize import linprog

    columns = sorted({column for row in sums for column in row.factor})
    place = {column: i for i, column in enumerate(columns)}
    matrix = np.zeros((len(sums), len(columns) + 1))
    for i, row in enumerate(sums):
        matrix[i, -1] = -row.weight
        for column, factor in row.factor.items():
            matrix[i, place[column]] += factor
    most = [1.0 if what != "over" else None for what, _, _ in columns]
    # scipy's types know nothing of the duals.
    found: Any = linprog(
        [0.0] * len(columns) + [1.0],
        A_ub=matrix,
        b_ub=[-row.constant for row in sums],
        bounds=[*((0.0, end) for end in most), (0.0, None)],
        method="highs",
    )
    if found.status != 0:
        return None
    return [max(0, round(-SCALE * dual)) for dual in found.ineqlin.marginals.tolist()]

"""Random proofs for tests of the rule lp dual: a solver finds the multipliers, for stages in groups."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise, product
from typing import Any, NamedTuple

import numpy as np

from framework.proof.log import Step
from framework.proof.lp import COST, RowSum, Windows, closed_windows
from framework.proof.problem import PlainProblem, RefusedError
from framework.proof.stages import stage_windows

BRANCHES, MOST_VERTICES = 0.4, 6
"""How likely a vertex of a tree branches, and vertices after which none does."""
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
    tree, waiting = list[list[int]](), [stage_windows(problem, threshold)]
    total = RowSum(problem, data["sizes"], data["tensors"], data["shared"])
    while waiting:
        windows = closed_windows(problem, waiting.pop())
        if any(first > last for first, last in windows):
            tree.append([])
        elif rng.random() < BRANCHES and len(tree) < MOST_VERTICES:
            v, j = rng.randrange(problem.n), rng.randrange(len(data["sizes"]) + 1)
            tree.append([v, j])
            waiting += [total.side(windows, v, j, later=True), total.side(windows, v, j, later=False)]
        else:
            rows = list(all_rows(problem, data, windows))
            duals = _duals(rows)
            if duals is None:
                return None
            kept = [[multiplier, *added.row] for added, multiplier in zip(rows, duals, strict=True) if multiplier > 0]
            tree.append([number for row in kept for number in row])
    return Step(rule="lp-dual", data={**data, "tree": tree})


class AddedRow(NamedTuple):
    """A row without multiplier, and what the checker makes of it: factors of columns, a constant, and a weight."""

    row: list[int]
    factor: dict[tuple[str, int, int], int]
    constant: int
    weight: int


def all_rows(problem: PlainProblem, data: Mapping[str, Any], windows: Windows) -> Iterator[AddedRow]:
    """Yield all rows that there are."""
    added = RowSum(problem, data["sizes"], data["tensors"], data["shared"])
    for kind, (_, ends) in enumerate(added.kinds):
        for which in product(*map(range, ends)):
            added.start(windows)
            with suppress(RefusedError):
                added.add([1, kind, *which])
                if added.factor or kind == COST:
                    yield AddedRow([kind, *which], dict(added.factor), added.constant, added.weight)


def _duals(rows: Sequence[AddedRow]) -> list[int] | None:
    """Return integer multipliers of rows that bound the bottleneck well; None if the solver finds none."""
    from scipy.optimize import linprog

    columns = sorted({column for row in rows for column in row.factor})
    place = {column: i for i, column in enumerate(columns)}
    matrix = np.zeros((len(rows), len(columns) + 1))
    for i, row in enumerate(rows):
        matrix[i, -1] = -row.weight
        for column, factor in row.factor.items():
            matrix[i, place[column]] += factor
    most = [1.0 if what != "over" else None for what, _, _ in columns]
    # scipy's types know nothing of the duals.
    found: Any = linprog(
        [0.0] * len(columns) + [1.0],
        A_ub=matrix,
        b_ub=[-row.constant for row in rows],
        bounds=[*((0.0, end) for end in most), (0.0, None)],
        method="highs",
    )
    if found.status != 0:
        return None
    return [max(0, round(-SCALE * dual)) for dual in found.ineqlin.marginals.tolist()]

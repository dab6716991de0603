"""Safe dual bounds: a bound in exact arithmetic from the floating-point duals of a relaxation.

For a model "minimise T subject to rows a x - s T <= u" with columns in boxes, take any multipliers L >= 0 on the rows.
Every feasible point satisfies sum L (a x - s T) <= sum L u, hence

    T  >=  ( min over the boxes of (sum L a) x  -  sum L u )  /  (sum L s)

as long as sum L s > 0: weak duality, which holds for any L >= 0. So the solver's duals are cut off at zero and rounded
to integers, and the right side is evaluated in integers of unlimited size. Inaccurate duals give a weak bound, never a
wrong one. The certificate is the list of multipliers. Source: Neumaier and Shcherbina, 2004.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from framework.model.arrays import IntArray
from framework.structure.solvers.linear_model import OPEN, LinearModel
from framework.structure.solvers.mathopt_worker import FloatArray

PRECISION = 1 << 30
"""Multipliers of rows of cost are rounded to multiples of its inverse."""


def round_duals(
    model: LinearModel, duals: FloatArray, base: int, precision: int = PRECISION
) -> tuple[IntArray, list[int]]:
    """Return the rows with a positive multiplier and their integer multipliers.

    Parameters
    ----------
    duals
        ``[rows]`` as `framework.structure.solvers.mathopt.solve_relaxation` returns them.
    base
        What costs were divided by there: a row that is not weighed weighs `base` times as much in ticks.
    precision
        More than usual where rows that are not weighed have large coefficients, and small multipliers for it.
    """
    scale = np.where(model.row_weighed, 1.0, float(max(1, base))) * float(precision)
    wanted = np.rint(np.maximum(0.0, -duals) * scale)
    rows = np.flatnonzero((wanted > 0) & (model.row_upper < OPEN))
    return rows, [int(value) for value in wanted[rows]]


def dual_value(model: LinearModel, rows: Sequence[int] | IntArray, multipliers: Sequence[int]) -> int:
    """Return the lower bound on the objective column that the multipliers prove, rounded up.

    Raises
    ------
    ValueError
        If they prove none: a negative multiplier, a row without an upper limit or out of range, or no weight on the
        objective.
    """
    if model.objective is None:
        raise ValueError("the model has no objective")
    rows = np.asarray(rows, np.int64)
    if len(rows) != len(multipliers) or len(np.unique(rows)) != len(rows):
        raise ValueError("every row needs one multiplier")
    if len(rows) and (int(rows.min()) < 0 or int(rows.max()) >= model.rows):
        raise ValueError("a row is out of range")
    if any(multiplier < 0 for multiplier in multipliers) or bool((model.row_upper[rows] >= OPEN).any()):
        raise ValueError("a multiplier has the wrong sign")
    of_row = np.zeros(model.rows, object)
    of_row[rows] = list(multipliers)
    used = of_row[model.row_of] != 0
    cost = np.zeros(model.columns, object)
    np.add.at(cost, model.column_of[used], of_row[model.row_of[used]] * model.factor[used].astype(object))
    weight = -int(cost[model.objective])
    if weight <= 0:
        raise ValueError("the multipliers put no weight on the objective")
    cost[model.objective] = 0
    least = np.minimum(cost * model.lower.astype(object), cost * model.upper.astype(object))
    total = int(least.sum()) - sum(int(m) * int(u) for m, u in zip(multipliers, model.row_upper[rows], strict=True))
    return -(-total // weight)

"""Small linear models solved by scipy, apart from the solvers of the project."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from framework.model.arrays import IntArray
from framework.structure.solvers.linear_model import OPEN, LinearModel

_LARGEST = 1e7
"""No column of a small model need be larger."""


def least(
    model: LinearModel,
    costs: IntArray | None = None,
    *,
    integer: bool = False,
    fixed: tuple[IntArray, IntArray] | None = None,
) -> float:
    """Return the minimum of the objective, or of some costs of the columns; infinite where there is no solution.

    Parameters
    ----------
    integer
        Whether columns marked so are integer; else none is.
    fixed
        Columns and their values.
    """
    from scipy import optimize, sparse

    scipy: Any = optimize
    if model.infeasible:
        return float("inf")
    if costs is None:
        costs = np.zeros(model.columns, np.int64)
        if model.objective is not None:
            costs[model.objective] = 1
    lower, upper = (np.clip(limit.astype(float), -_LARGEST, _LARGEST) for limit in (model.lower, model.upper))
    if fixed is not None:
        lower[fixed[0]] = upper[fixed[0]] = fixed[1]
    matrix = sparse.csr_matrix(
        (model.factor.astype(float), (model.row_of, model.column_of)), shape=(model.rows, model.columns)
    )
    answer = scipy.milp(
        costs,
        constraints=[scipy.LinearConstraint(matrix, _open(model.row_lower), _open(model.row_upper))] * (model.rows > 0),
        bounds=scipy.Bounds(lower, upper),
        integrality=model.integer.astype(int) if integer else None,
    )
    assert answer.status in (0, 2)
    return float(answer.fun) if answer.status == 0 else float("inf")


def _open(limit: IntArray) -> NDArray[np.float64]:
    """Return limits as floats, infinite where there is none."""
    return np.where(limit >= OPEN, np.inf, np.where(limit <= -OPEN, -np.inf, limit.astype(float)))

"""Second-order rows for the same-stage model, found by solving it round by round through cvxpy.

The program is the linear part of `framework.structure.models.same_stage_model` with its second-order rows for some
weights: work, one for each node, and work with transfers. After each solution X the weights are changed as in
`framework.structure.covering.anchor_weights`: divided by the weight of a stage of the node, and kept if they violate
the count more. Eigenvectors of k X - J with negative eigenvalues become semidefinite rows. At the end each second-order
row is replaced by its tangent at the solution. Every tangent is a valid row, so an inaccurate solution gives a weak
bound, not a wrong one.

Bounds of cost columns. The linear model lets a cost be `MAX_TOTAL`; divided by a small base that is 10^12 and more
beside ones, and Clarabel then fails. Here costs are at most U = max(2 C, penalty n), with C what no stage costs more
than (`Instance.largest_cost`), and no optimum is lost. Proof: take any point of the program, and lower every z, d and o
to the least that its rows allow. Then sum_v w_v X[u, v] + sum_t c_t z[u, t] + o[u] <= W + sum_t c_t + (P - capacity)+
= C, as X, z and d are at most 1, and (W + 2 sum_t c_t d[t] + (P - k capacity)+) / k <= 2 C; the excess is at most n.
So T may be lowered to U as well, and every o is at most C.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.structure.models.same_stage_model import SLOPE_SCALE, CountTangent, SameStageModel
from framework.structure.models.same_stage_socp import penalty_at
from framework.structure.poset.closure import BoolArray
from framework.structure.solvers.mathopt import row_scales
from framework.structure.solvers.mathopt_worker import FloatArray

LARGEST_ENTRY, LARGEST_WEIGHT = 1000, 100
"""Eigenvectors and weights are scaled to these before they are rounded."""
_VIOLATED = 1e-4
_VECTORS_A_ROUND = 8
_REWEIGHTINGS = 12


@dataclass(slots=True)
class Cones:
    """Weights of second-order rows, their tangents, and vectors of semidefinite rows; kept between thresholds."""

    weights: list[IntArray]
    vectors: list[IntArray] = field(default_factory=list)
    tangents: list[CountTangent] = field(default_factory=list)


def first_cones(instance: Instance) -> Cones:
    """Return what the search starts from."""
    top, n = instance.topology, instance.n
    paid = instance.work.astype(np.float64)
    np.add.at(paid, top.producer, instance.tensor_cost / 2)
    np.add.at(paid, top.consumers, np.repeat(instance.tensor_cost / 2, np.diff(top.consumer_ptr)))
    candidates = [np.ones(n), instance.work.astype(np.float64), paid]
    return Cones(weights=[_integers(weights, LARGEST_WEIGHT) for weights in candidates if weights.any()])


def refine(
    cones: Cones,
    instance: Instance,
    stages: int,
    apart: BoolArray,
    *,
    base: int,
    rounds: int,
    remaining: Callable[[], float],
) -> None:
    """Find weights, vectors and tangents that raise the linear model where some pairs are apart.

    Parameters
    ----------
    base
        What costs are divided by, in ticks.
    rounds
        Programs to solve at most.
    remaining
        Seconds left; a program may use half of them.
    """
    penalty = penalty_at(base, instance.n)
    most = largest_needed(instance, penalty)
    for _ in range(rounds):
        built = SameStageModel(instance, stages, cones.vectors, apart=apart, penalty=penalty)
        same = _solve(built, cones.weights, stages, base, most, remaining() / 2)
        if same is None:
            return
        cones.tangents = [_tangent(weights, same) for weights in cones.weights]
        weight, vector = np.linalg.eigh(stages * same - 1.0)
        chosen = np.flatnonzero(weight < -_VIOLATED * stages)[:_VECTORS_A_ROUND].tolist()
        cones.vectors += [_integers(vector[:, i], LARGEST_ENTRY) for i in chosen]
        better = _reweight(cones.weights, same, stages)
        if better is not None:
            cones.weights.append(better)
            cones.tangents.append(_tangent(better, same))
        elif not chosen:
            return


def largest_needed(instance: Instance, penalty: int) -> int:
    """Return the cost (ticks) above which no column of the program need be; the module has the proof."""
    return max(2 * instance.largest_cost, penalty * instance.n)


def _solve(
    built: SameStageModel, weights: list[IntArray], stages: int, base: int, most: int, seconds: float
) -> FloatArray | None:
    """Return X, ``[n, n]``, or None if the solver failed; costs are at most `most` (ticks)."""
    # cvxpy is only partly typed.
    import cvxpy

    cp: Any = cvxpy
    from scipy import sparse

    model, n = built.model, len(built.pairs)
    scale = np.where(model.row_weighed, 1.0 / base, row_scales(model))
    columns = np.where(model.weighed, float(base), 1.0)
    values = model.factor * scale[model.row_of] * columns[model.column_of]
    matrix = sparse.csr_matrix((values, (model.row_of, model.column_of)), shape=(model.rows, model.columns))
    z = cp.Variable(model.columns)
    upper = np.where(model.weighed, np.minimum(model.upper, most), model.upper) / columns
    constraints = [matrix @ z <= model.row_upper * scale, z >= model.lower / columns, z <= upper]
    u, v = np.nonzero(built.pairs >= 0)
    for a in weights:
        unit = a / float(a.max())
        loads = sparse.csr_matrix((unit[u], (v, built.pairs[u, v])), shape=(n, model.columns))
        some = np.flatnonzero(a)
        constraints.append(unit[some] @ cp.inv_pos((loads @ z + unit)[some]) <= stages + z[int(built.excess[0])])
    program = cp.Problem(cp.Minimize(z[model.objective]), constraints)
    options = {} if seconds == float("inf") else {"time_limit": max(0.01, seconds)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program.solve(solver=cp.CLARABEL, **options)
    except cp.SolverError:
        return None
    if z.value is None or not np.isfinite(z.value).all():
        return None
    padded: FloatArray = np.concatenate((np.clip(z.value, 0.0, None), np.array([1.0, 0.0])))
    # Index -1 is ZERO, -2 is ONE.
    return padded[built.pairs]


def _tangent(weights: IntArray, same: FloatArray) -> CountTangent:
    loads = np.maximum(1.0, same @ weights)
    slopes = np.rint(SLOPE_SCALE / (loads * loads)).astype(np.int64)
    return CountTangent(weights=weights, slopes=np.where(weights > 0, slopes, 0))


def _reweight(known: list[IntArray], same: FloatArray, stages: int) -> IntArray | None:
    """Return the weights that violate the count most, if any do."""
    best, most = None, stages * (1 + _VIOLATED)
    for start in known:
        weights: FloatArray = np.maximum(start, 1e-3 * start.max()).astype(np.float64)
        for _ in range(_REWEIGHTINGS):
            weights = weights / np.sqrt(np.maximum(1e-9, same @ weights))
            rounded = _integers(weights, LARGEST_WEIGHT)
            some = rounded > 0
            count = float((rounded[some] / np.maximum(1e-9, (same @ rounded)[some])).sum())
            if count > most:
                best, most = rounded, count
    return best


def _integers(vector: FloatArray, largest: int) -> IntArray:
    rounded: IntArray = np.rint(vector * (largest / float(np.abs(vector).max()))).astype(np.int64)
    return rounded

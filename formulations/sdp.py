"""`sdp`: semidefinite relaxation over "same stage", solved by cvxpy and evaluated exactly by rows of integer vectors.

Validity: `framework.structure.models.same_stage_model`: every row of its linear part, and k q' X q >= (q' 1)^2 for
every integer vector q, holds for every partition. A semidefinite solver (SCS) solves the relaxation roughly; the
eigenvectors of its dual matrix, rounded to integers, give the rows that are used. The linear model with these rows is
solved, and its duals are evaluated exactly (`framework.structure.solvers.safe_dual_bound`). The bound does not depend
on the accuracy of either solver, so its soundness is `certified`. The certificate holds the vectors and the
multipliers.

The model has n^2 / 2 columns and some n rows for each edge, so it is for small graphs. Sources: Karisch and Rendl 1998;
cvxpy; the exact repair: this project.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from framework.bounds import Certificate, DualBound, Limit, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    from framework.model.arrays import IntArray
    from framework.structure.models.same_stage_model import SameStageModel

NAME = "sdp"
LARGEST_ENTRY = 1000
"""Eigenvectors are scaled to this before they are rounded."""
SHARE_OF_TIME = 0.6
"""Part of the time that the semidefinite solver may use."""


@register_formulation(
    NAME,
    features=[Feature.DUAL],
    summary="Semidefinite relaxation of which nodes share a stage, certified by integer vectors",
    reference="Karisch and Rendl 1998; the exact repair: this project",
    purpose="studying relaxations of which nodes share a stage, on graphs of tens of nodes",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Sdp:
    """One semidefinite program and one linear program.

    Attributes
    ----------
    max_nodes
        Give up on graphs with more nodes.
    iterations
        Iterations of SCS at most; it need not converge.
    """

    max_nodes: int = 60
    iterations: int = 1000

    def __post_init__(self) -> None:
        if self.max_nodes < 1 or self.iterations < 1:
            raise ValueError("max_nodes and iterations must be at least 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Solve both programs."""
        from framework.structure.models.same_stage_model import SameStageModel
        from framework.structure.solvers.mathopt import solve_relaxation, start_solver

        n, k = problem.instance.n, problem.useful_stages
        if n > self.max_nodes:
            detail = f"{n} nodes, more than max_nodes = {self.max_nodes}"
            return Outcome(termination=Termination(reason=Reason.LIMIT, limit=Limit.SIZE, detail=detail))
        if k == 1 or context.should_stop():
            return _outcome(simple_bound(problem), None, context, 0)
        start_solver()
        vectors = self._vectors(SameStageModel(problem.instance, k), k, context)
        model = SameStageModel(problem.instance, k, vectors).model
        base = max(1, simple_bound(problem))
        solved = solve_relaxation(
            model,
            base=base,
            seconds=context.remaining(),
            threads=context.threads,
            seed=context.seed,
            interior=True,
            should_stop=context.should_stop,
        )
        if solved is None:
            return _outcome(simple_bound(problem), None, context, len(vectors))
        return self._evaluate(problem, context, model, solved.duals, base, vectors)

    def check(self, problem: Problem, certificate: Certificate) -> int:
        """Build the model with the vectors of a certificate and evaluate its multipliers."""
        import numpy as np

        from framework.structure.models.same_stage_model import SameStageModel
        from framework.structure.solvers.safe_dual_bound import dual_value

        n = problem.instance.n
        data = certificate.whole_data("vectors", "rows", "multipliers")
        vectors = [np.array(vector, np.int64) for vector in data["vectors"]]
        if any(len(q) != n or int(np.abs(q).max()) > LARGEST_ENTRY for q in vectors):
            raise ValueError("a vector has the wrong length or is too large")
        model = SameStageModel(problem.instance, problem.useful_stages, vectors).model
        return dual_value(model, data["rows"], list(data["multipliers"]))

    def _evaluate(
        self, problem: Problem, context: Context, model: Any, duals: Any, base: int, vectors: list[IntArray]
    ) -> Outcome:
        from framework.structure.solvers.safe_dual_bound import dual_value, round_duals

        rows, multipliers = round_duals(model, duals, base)
        try:
            proven = dual_value(model, rows, multipliers)
        except ValueError:
            return _outcome(simple_bound(problem), None, context, len(vectors))
        if proven <= simple_bound(problem):
            return _outcome(simple_bound(problem), None, context, len(vectors))
        data = {"vectors": [q.tolist() for q in vectors], "rows": rows.tolist(), "multipliers": multipliers}
        certificate = Certificate(kind=NAME, data=data, instance=problem.instance.sha256())
        return _outcome(proven, certificate, context, len(vectors))

    def _vectors(self, blocks: SameStageModel, stages: int, context: Context) -> list[IntArray]:
        """Return the integer vectors whose rows the semidefinite solver puts weight on."""
        import cvxpy as cp
        import numpy as np
        from scipy import sparse

        model, n = blocks.model, len(blocks.pairs)
        base = max(1.0, float(model.factor.max(initial=1)))
        scale = np.where(model.row_weighed, 1.0 / base, 1.0)
        columns = np.where(model.weighed, base, 1.0)
        values = model.factor * scale[model.row_of] * columns[model.column_of]
        matrix = sparse.csr_matrix((values, (model.row_of, model.column_of)), shape=(model.rows, model.columns))
        place = np.flatnonzero(blocks.pairs.ravel() >= 0)
        select = sparse.csr_matrix(
            (np.ones(len(place)), (place, blocks.pairs.ravel()[place])), shape=(n * n, model.columns)
        )
        x = cp.Variable(model.columns)
        same = cp.reshape(select @ x, (n, n), order="C") + np.eye(n)
        semidefinite = stages * same - np.ones((n, n)) >> 0
        constraints = [
            matrix @ x <= model.row_upper * scale,
            x >= model.lower / columns,
            x <= model.upper / columns,
            semidefinite,
        ]
        program = cp.Problem(cp.Minimize(x[model.objective]), constraints)
        limit = context.remaining() * SHARE_OF_TIME
        options = {} if limit == float("inf") else {"time_limit_secs": limit}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program.solve(solver=cp.SCS, max_iters=self.iterations, eps=1e-5, **options)
        except cp.SolverError:
            return []
        if semidefinite.dual_value is None:
            return []
        weight, vector = np.linalg.eigh((semidefinite.dual_value + semidefinite.dual_value.T) / 2)
        found = []
        for i in np.flatnonzero(weight > 1e-5 * max(1e-9, float(weight.max()))).tolist():
            q = np.rint(vector[:, i] * (LARGEST_ENTRY / float(np.abs(vector[:, i]).max()))).astype(np.int64)
            found.append(q)
        return found


def _outcome(value: int, certificate: Certificate | None, context: Context, vectors: int) -> Outcome:
    soundness = Soundness.EXACT if certificate is None else Soundness.CERTIFIED
    if context.should_stop():
        termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
    else:
        termination = Termination(reason=Reason.FINISHED)
    return Outcome(
        dual=DualBound(value=value, source=NAME, soundness=soundness, certificate=certificate),
        termination=termination,
        details={"vectors": vectors},
    )

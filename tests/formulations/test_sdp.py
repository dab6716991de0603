"""`sdp`: rows that hold for every partition, bounds that are exact, certificates that cannot be bent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Limit, Soundness
from framework.errors import UserError
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.local import run_entry
from framework.registry import load_plugins, registry
from framework.structure.models.same_stage_model import SameStageModel
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.solvers.linear_model import OPEN
from framework.testing.instances import random_layered_instance, random_problem

load_plugins()


@settings(derandomize=True, deadline=None, max_examples=40)
@given(seed=st.integers(0, 10**6))
def test_every_partition_is_a_point_of_the_model(seed: int) -> None:
    problem = random_problem(seed)
    instance, k = problem.instance, problem.useful_stages
    rng = np.random.default_rng(seed)
    vectors = [rng.integers(-1000, 1001, instance.n) for _ in range(3)] + [np.ones(instance.n, np.int64)]
    blocks = SameStageModel(instance, k, vectors)
    model = blocks.model
    stage_of = np.sort(rng.integers(0, k, instance.n))
    value = bottleneck(Problem(instance=instance, stages=k), Partition(stage_of=stage_of))
    fixed = np.full(model.columns, -1, np.int64)
    fixed[0] = value
    for (u, v), column in np.ndenumerate(blocks.pairs):
        if column >= 0:
            fixed[column] = stage_of[u] == stage_of[v]
    assert best_violation(model, fixed) <= 0


def best_violation(model: object, fixed: np.ndarray) -> int:
    """Complete the other columns with CP-SAT; 0 if there is a completion."""
    from framework.structure.solvers.cp_sat import solve_cp
    from framework.structure.solvers.linear_model import LinearModel, Status

    assert isinstance(model, LinearModel)
    known = fixed >= 0
    tight = replace(
        model,
        lower=np.where(known, fixed, model.lower),
        upper=np.where(known, fixed, model.upper),
        objective=None,
    )
    assert (tight.row_upper < OPEN).all()
    return 0 if solve_cp(tight, seconds=20.0).status is Status.OPTIMAL else 1


def test_it_beats_the_simple_bound_and_its_certificates_survive_no_tampering() -> None:
    rng = np.random.default_rng(1)
    rejected = better = 0
    for seed in range(3):
        problem = Problem(instance=random_layered_instance(seed, 14, width=4, capacity_share=0.5), stages=3)
        _, exact = run_entry(registry.create("ideal-dp"), problem)
        _, board = run_entry(registry.create("sdp"), problem, name="sdp")
        assert exact.incumbent is not None
        assert board.dual is not None
        assert simple_bound(problem) <= board.dual.value <= exact.incumbent.value
        certificate, checker = board.dual.certificate, registry.create("sdp")
        if certificate is None:
            continue
        better += 1
        assert board.dual.soundness is Soundness.CERTIFIED
        assert checker.check(problem, certificate) == board.dual.value
        data = dict(certificate.data)
        changes: list[dict[str, object]] = [
            {"vectors": []},
            {"vectors": [[x * 50 for x in q] for q in data["vectors"]]},
            {"multipliers": [-m for m in data["multipliers"]]},
            {"rows": data["rows"][:-1]},
        ]
        changes += [{"vectors": rng.integers(-1000, 1001, np.shape(data["vectors"])).tolist()} for _ in range(3)]
        changes += [{"multipliers": rng.permutation(data["multipliers"]).tolist()} for _ in range(3)]
        for change in changes:
            try:
                proven = checker.check(problem, replace(certificate, data={**data, **change}))
            except ValueError:
                rejected += 1
                continue
            assert proven <= exact.incumbent.value
    assert better >= 2
    assert rejected >= 4


def test_limits() -> None:
    problem = Problem(instance=random_layered_instance(0, 70), stages=3)
    outcome, board = run_entry(registry.create("sdp"), problem)
    assert outcome.termination.limit is Limit.SIZE
    assert board.dual is None
    with pytest.raises(UserError):
        registry.create("sdp:iterations=0")

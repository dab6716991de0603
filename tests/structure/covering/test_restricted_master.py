"""The restricted covering program against another solver, and what is left when it is thinned out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import optimize

from framework.structure.covering.restricted_master import RestrictedMaster


@pytest.mark.parametrize("seed", range(5))
def test_the_optimum_and_the_prices_are_those_of_the_covering_program(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = 8
    # So many columns that some are thinned out on the way.
    columns = [column.astype(np.int8) for column in rng.integers(0, 2, (400, n))]
    master = RestrictedMaster(n)
    values = []
    for start in range(0, 400, 50):
        master.add(columns[start : start + 50])
        value, prices = master.solve()
        values.append(value)
        assert value == pytest.approx(float(prices.sum()), rel=1e-6)
    matrix = np.array(columns).T.astype(float)
    answer = optimize.linprog(np.ones(400), A_ub=-matrix, b_ub=-np.ones(n))
    assert values[-1] == pytest.approx(float(answer.fun), rel=1e-6)
    assert all(after <= before + 1e-9 for before, after in itertools.pairwise(values))
    assert max(np.array(columns) @ prices) <= 1 + 1e-6
    assert min(prices) >= 0


def test_nodes_in_no_stage_cost_more_than_a_stage() -> None:
    assert RestrictedMaster(4).solve()[0] == pytest.approx(12.0)

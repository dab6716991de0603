"""Every rule finds proofs of random problems, and no damage makes any of them prove more than the optimum."""

from __future__ import annotations

import random
from collections import Counter

from framework.proof.check import proven_by
from framework.proof.log import BOUNDS, REDUCTIONS
from framework.proof.problem import RefusedError
from framework.testing.damage import damaged
from framework.testing.proofs import proven_problems

SEEDS = range(60)
DAMAGES = 12


def test_no_damage_proves_more_than_the_optimum() -> None:
    rng, used, tight, held = random.Random(4), Counter[str](), 0, 0
    for case in proven_problems(SEEDS):
        proven = proven_by(case.problem, case.steps)
        assert proven <= case.optimum, case
        tight += proven == case.optimum
        used.update(step.rule for step in case.steps)
        for _ in range(DAMAGES):
            steps = damaged(case.steps, rng)
            try:
                bound = proven_by(case.problem, steps)
            except RefusedError:
                continue
            held += 1
            assert bound <= case.optimum, (case, steps)
    assert set(used) == set(BOUNDS) | set(REDUCTIONS)
    assert tight > 30
    assert held > 100

"""Proofs by spreading metrics of small random problems: paths and multipliers drawn at random, the best of a few."""

from __future__ import annotations

import random
from contextlib import suppress
from typing import Any

from framework.proof.check import proven_by
from framework.proof.log import Step
from framework.proof.problem import PlainProblem, RefusedError
from framework.proof.spreading import FREE, spreading_metric

TRIALS = 12


def metric_step(problem: PlainProblem, threshold: int, rng: random.Random) -> Step | None:
    """Return a step of the rule *spreading metric*; None if nothing is proved, or the problem is none of the rule's."""
    if problem.shared or threshold < 0:
        return None
    found = list[tuple[int, int, Step]]()
    for trial in range(TRIALS):
        data = _drawn(problem, threshold, rng)
        with suppress(RefusedError):
            step = Step(rule="spreading-metric", data=data)
            found.append((proven_by(problem, [step]), trial, step))
    return max(found)[2] if found else None


def _drawn(problem: PlainProblem, threshold: int, rng: random.Random) -> dict[str, Any]:
    ends = sorted({(t.producer, *sorted(t.consumers)) for t in problem.tensors if t.cost})
    rows = list[list[int]]()
    for root in rng.sample(range(problem.n), rng.randint(0, problem.n)):
        steps, known = list[int](), [root]
        for _ in range(rng.randint(0, 2 * problem.n)):
            parent, v, t = rng.choice(known), rng.randrange(problem.n), rng.randrange(-1, len(ends))
            between = problem.below[root] & problem.above[parent] | problem.above[root] & problem.below[parent]
            if v not in known and (between >> v & 1 if t == FREE else {v, parent} <= set(ends[t])):
                steps += [v, parent, t]
                known.append(v)
        counted = [t for t in range(len(ends)) if not set(known).isdisjoint(ends[t]) and rng.random() < 0.7]
        cuts = [x for t in counted for x in (t, rng.choice([v for v in known if v in ends[t]]))]
        rows.append([rng.randint(1, 3), root, rng.randrange(2), -1, len(steps) // 3, *steps, *cuts])
        if len(known) > 1 and rng.random() < 0.3:
            rows.append([rng.randint(1, 20), root, 0, rng.choice(known[1:]), len(steps) // 3, *steps])
    data: dict[str, Any] = {"threshold": threshold, "total": 1, "tensors": [list(row) for row in ends]}
    cliques = [[t, *rng.sample(pins, rng.randint(2, len(pins)))] for t, pins in enumerate(ends) if len(pins) > 1]
    # What may share a stage at the threshold is left out.
    kept = {"cliques": list[list[int]](), "rows": list[list[int]]()}
    for name, drawn in (("cliques", cliques), ("rows", rows)):
        for row in drawn:
            with suppress(RefusedError):
                alone: dict[str, Any] = {"cliques": [], "rows": [], name: [row]}
                spreading_metric(problem, **data, **alone)
                kept[name].append(row)
    return data | kept | {"total": rng.randint(0, 3)}

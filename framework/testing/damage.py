"""Damages proofs at random, to test their checker: it changes a number, an item of a list, or a step."""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from typing import Any

from framework.proof.log import Step


def damaged(steps: Sequence[Step], rng: random.Random) -> list[Step]:
    """Return steps of which something is different: a number, an item of a list, or a step."""
    rows = [(step.rule, copy.deepcopy(dict(step.data))) for step in steps]
    kind = rng.randrange(12)
    if kind == 0:
        rows.insert(0, rng.choice(rows))
    elif kind == 1 and len(rows) > 1:
        del rows[rng.randrange(len(rows) - 1)]
    else:
        # A threshold above is what a forger wants; the rest makes it pass, or not.
        if kind > 6 and "threshold" in rows[-1][1]:
            rows[-1][1]["threshold"] += rng.choice((1, 1, 2, 5, 20))
        for _ in range(rng.choice((1, 1, 2, 4))):
            _damage(rng.choice(rows)[1], rng)
    return [Step(rule=rule, data=data) for rule, data in rows]


def _damage(data: dict[str, Any], rng: random.Random) -> None:
    if not data:
        return
    name = rng.choice(sorted(data))
    value = data[name]
    if isinstance(value, bool):
        data[name] = not value
    elif isinstance(value, int):
        data[name] = _other(value, rng)
    elif name in ("chains", "units", "rounds", "rows", "cliques", "tensors", "shared", "shares") and not value:
        value.append([rng.randrange(6), rng.randrange(6)])
    else:
        row = rng.choice(value) if value and isinstance(value[0], list) else value
        at = rng.randrange(len(row)) if row else 0
        kind = rng.randrange(4)
        if not row or kind == 0:
            row.insert(at, rng.randrange(8))
        elif kind == 1:
            del row[at]
        elif isinstance(row[at], int):
            row[at] = _other(row[at], rng)


def _other(value: int, rng: random.Random) -> int:
    return rng.choice((value + 1, value - 1, 2 * value, -value, 0, 1, value + rng.randint(-20, 20), 1 << 62))

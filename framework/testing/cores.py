"""Random proofs by the rules *core program* and *fixing*, with cores drawn at random, for tests."""

from __future__ import annotations

import copy
import random
from contextlib import suppress
from typing import Any

from framework.proof.check import proven_by
from framework.proof.cores.fixing import PARTS, Left, arcs_shown
from framework.proof.log import Step
from framework.proof.problem import PlainProblem, RefusedError


def core_step(problem: PlainProblem, threshold: int, rng: random.Random) -> Step | None:
    """Return a core drawn at random that proves something; None if none of a few does."""
    if any(problem.working):
        return None
    nodes, kinds = range(problem.n), len(problem.kinds)
    for _ in range(6):
        weights = [rng.choice((1, 1, 2, 3)) for _ in range(kinds)]
        data: dict[str, Any] = {
            "threshold": threshold,
            "order": problem.order if rng.random() < 0.5 else [],
            "fluid": rng.sample(nodes, rng.randrange(problem.n)),
            "backwards": rng.random() < 0.5,
            "counted": 0 if kinds else rng.randrange(3),
            "some": rng.sample(nodes, rng.randrange(problem.n)),
            "grain": rng.choice((1, 1, 2, 3, 5)),
            "weights": [*weights, *(rng.choice((0, weight)) for weight in weights)],
            "chains": _equal_nodes(problem, rng),
            "units": [],
            "common": [],
            "by_unit": False,
        }
        chained = {v for chain in data["chains"] for v in chain}
        data["fluid"] = [v for v in data["fluid"] if v not in chained]
        if not (kinds or problem.shared or data["backwards"]) and rng.random() < 0.7:
            data["units"], data["common"] = drawn_units(problem, set(data["fluid"]), chained, rng)
            data["by_unit"] = rng.random() < 0.5
            data["grain"] = 1 if data["by_unit"] else data["grain"]
        step = Step(rule="core-program", data=data)
        with suppress(RefusedError):
            proven_by(problem, [step])
            return step
    return None


def drawn_units(
    problem: PlainProblem, fluid: set[int], chained: set[int], rng: random.Random
) -> tuple[list[list[int]], list[int]]:
    """Return units of some fluid nodes, and the ends of a common tensor if one can be."""
    placed, unit = set(range(problem.n)) - fluid - chained, dict[int, list[int]]()
    for v in reversed([v for v in problem.order if v in fluid]):
        heads = problem.successors[v]
        if heads and heads <= placed and rng.random() < 0.9:
            unit[v] = [v]
        elif len(heads) == 1 and heads <= unit.keys() and rng.random() < 0.9:
            unit[v] = unit[min(heads)]
            unit[v].append(v)
    units = [nodes for v, nodes in unit.items() if nodes[0] == v]
    feeding = [t for t in problem.tensors if t.cost and t.producer in placed and t.consumers & unit.keys()]
    if not feeding or rng.random() < 0.3:
        return units, []
    tensor = rng.choice(feeding)
    return units, [tensor.producer, *sorted(tensor.consumers)]


def _equal_nodes(problem: PlainProblem, rng: random.Random) -> list[list[int]]:
    """Return sets of equal nodes, each of those that there are or not."""
    kinds: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for v in range(problem.n):
        kinds.setdefault(tuple((kind.work[v], kind.parameters[v]) for kind in problem.priced), []).append(v)
    return [kind for kind in kinds.values() if len(kind) > 1 and rng.random() < 0.5]


def rounds_step(problem: PlainProblem, threshold: int, rng: random.Random) -> Step | None:
    """Return rounds with cores, moves and branches drawn at random, with some of the arcs that cores show."""
    if any(problem.working):
        return None
    left, rounds = Left(problem), list[list[int]]()
    for _ in range(rng.choice((1, 2, 2, 3))):
        n = left.problem.n
        if left.problem.filled < 2 or threshold < 0:
            break
        name = {node: v for v, node in reversed(list(enumerate(left.problem.node_of)))}
        ways = list[int]()
        for _ in range(rng.choice((1, 2))):
            weights = [rng.choice((1, 1, 2, 3)) for _ in problem.kinds]
            ways += [0 if weights else rng.randrange(3), rng.choice((1, 1, 2, 3))]
            ways += [*weights, *(rng.choice((0, weight)) for weight in weights)]
        parts: dict[str, list[int]] = {part: [] for part in PARTS} | {"threshold": [threshold], "ways": ways}
        parts["order"] = [name[v] for v in left.problem.order]
        parts["fluid"], parts["some"] = ([name[v] for v in rng.sample(range(n), rng.randrange(n))] for _ in range(2))
        if not (problem.kinds or problem.shared) and rng.random() < 0.5:
            there = left.problem.node_of
            units, common = drawn_units(left.problem, {there[v] for v in parts["fluid"]}, set(), rng)
            parts["units"] = [number for unit in units for number in (len(unit), *(name[v] for v in unit))]
            parts["common"] = [name[v] for v in common]
        try:
            both, alive = left.alive(parts, plain=True)
        except RefusedError:
            # Weights of devices may come to more than the checker counts with.
            return None
        if alive is not None:
            shown = list(arcs_shown(both, alive))
            kept = rng.sample(shown, rng.choice((len(shown), len(shown) // 2)))
            parts["arcs"] = [name[v] for pair in kept for v in pair]
        for part, more in (("moves", []), ("branches", [2, 1, 0])):
            for _ in range(4):
                trial = parts | {part: [*more, *(name[v] for v in rng.sample(range(n), 2))]} if n > 1 else parts
                try:
                    copy.copy(left).refuted_by_round(trial, plain=True)
                except RefusedError:
                    continue
                parts = trial
        rounds += [parts[part] for part in PARTS]
        if left.refuted_by_round(parts, plain=True):
            break
    return Step(rule="fixing", data={"threshold": threshold, "rounds": rounds})

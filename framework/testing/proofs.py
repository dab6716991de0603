"""Proofs of small random problems, found by plain search; `framework.testing.damage` damages them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from framework.model.problem import Problem
from framework.proof.check import proven_by
from framework.proof.cores.fixing import filtered
from framework.proof.cuts import closed, members
from framework.proof.given import pin
from framework.proof.log import REDUCTIONS, Step
from framework.proof.nested import Search, Windows
from framework.proof.problem import Limit, PlainProblem, RefusedError, Shared, plain_problem
from framework.proof.reductions import anchor, charge, contract, hold, merge, narrow, uniform
from framework.proof.stages import BRANCHES, _Stages, threshold_contract
from framework.testing.brute_force import brute_force_optimum
from framework.testing.cores import core_step, rounds_step
from framework.testing.instances import (
    random_in_flight_problem,
    random_limited_problem,
    random_memory_problem,
    random_problem,
    random_shared_problem,
    random_unequal_problem,
    random_workset_problem,
)
from framework.testing.linear import lp_step
from framework.testing.metrics import metric_step

_Maker = Callable[[PlainProblem, int, random.Random], Step | None]
_DRAWN: tuple[Callable[[int, int], Problem], ...] = (
    random_problem,
    random_shared_problem,
    random_workset_problem,
    random_limited_problem,
    random_memory_problem,
    random_unequal_problem,
    random_in_flight_problem,
)


AFTER = ("ideal-program", "nested-cuts", "spreading-metric", "lp-dual", "core-program")
"""What proves bounds of problems that a filter leaves, or of merged stages: one of these at a time."""


def as_checked(problem: Problem) -> PlainProblem:
    """Return a problem as the checker sees it: its limits and pins, and what each stage costs."""
    instance, limit = problem.instance, problem.instance.stage_limit
    plain = plain_problem(replace(instance, stage_limit=None), problem.stages)
    if limit is None:
        return plain
    sizes, most, pinned = limit.sizes.copy(), limit.limit, dict[int, list[int]]()
    if len(limit.anchors):
        # See `framework.structure.reduction.hard_limits`: what an anchor is larger by keeps anchors apart.
        most = (limit.limit - 1) // 2
        sizes[limit.anchors] -= most + 1
        pinned = {b: [v] for b, v in enumerate(limit.anchors.tolist())}
    users = np.split(instance.shared.users, instance.shared.ptr[1:-1]) if len(instance.shared) else []
    once = zip(limit.shared_sizes.tolist(), limit.shared_kept.tolist(), users, strict=True)
    rooms = (limit.rooms(problem.stages) - limit.limit + most).tolist()
    rows = [(size, kept, frozenset(row.tolist())) for size, kept, row in once]
    limits = Limit(
        sizes=tuple(sizes.tolist()),
        shared=tuple(Shared(size, row) for size, _, row in rows),
        worksets=tuple(limit.worksets.tolist()),
        rooms=tuple(rooms),
        kept=tuple(limit.kept.tolist()),
        shared_kept=tuple(Shared(kept, row) for _, kept, row in rows),
        in_flight=tuple(limit.in_flight.tolist()),
    )
    return pin(replace(plain, limit=limits), pinned, [])


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenProblem:
    """A random problem, its optimum, and steps that prove a bound of it."""

    problem: PlainProblem
    optimum: int
    steps: tuple[Step, ...]


def proven_problems(seeds: Sequence[int], max_nodes: int = 6, *, rule: str = "") -> Iterator[ProvenProblem]:
    """Yield a proof by each rule that succeeds, or by one of them, for the random problem of each seed."""
    for seed in seeds:
        drawn = _DRAWN[seed % len(_DRAWN)](seed, max_nodes)
        rng, problem = random.Random(seed), as_checked(drawn)
        optimum = brute_force_optimum(drawn)
        if optimum > drawn.instance.largest_cost:
            # No partition obeys the limits: any bound is true.
            continue
        reduced, reductions = _reduced(problem, rng)
        if rule in ("", "merge") and not reduced.kinds and rng.random() < 0.5:
            # The costs of so many stages are one cost then: thresholds are higher.
            factor = rng.choice((2, 2, 3))
            step = Step(rule="merge", data={"factor": factor})
            for last in _bounds(merge(reduced, factor), factor * optimum, rng, rng.choice(AFTER)):
                yield ProvenProblem(problem=problem, optimum=optimum, steps=(*reductions, step, last))
        for last in _bounds(reduced, optimum, rng, rule) if rule not in REDUCTIONS else ():
            yield ProvenProblem(problem=problem, optimum=optimum, steps=(*reductions, last))
        rounds = rounds_step(reduced, optimum - 1, rng) if rule in ("", "filter") else None
        left = rounds and _filtered(reduced, rounds)
        if rounds and left:
            for last in _bounds(left, optimum, rng, rng.choice(AFTER)):
                step = Step(rule="filter", data=rounds.data)
                yield ProvenProblem(problem=problem, optimum=optimum, steps=(*reductions, step, last))
        pairs = None if reduced.kinds else _contracted(reduced, optimum - 1, rng)
        if pairs is not None and rule in ("", pairs.rule):
            for last in _bounds(threshold_contract(reduced, **pairs.data), optimum, rng, "ideal-program"):
                yield ProvenProblem(problem=problem, optimum=optimum, steps=(*reductions, pairs, last))


def _filtered(problem: PlainProblem, rounds: Step) -> PlainProblem | None:
    """Return what rounds of fixing leave; None if nothing."""
    with suppress(RefusedError):
        return filtered(problem, **rounds.data)
    return None


def _reduced(problem: PlainProblem, rng: random.Random) -> tuple[PlainProblem, list[Step]]:
    """Return a smaller problem, and the steps to it: all moves that are allowed, and sometimes relaxing ones."""
    moves, smaller, steps = list[int](), problem, list[Step]()
    for _ in range(4 * problem.n):
        pair = [rng.randrange(problem.n), rng.randrange(problem.n)]
        try:
            smaller = contract(problem, moves + pair)
        except RefusedError:
            continue
        moves += pair
    if moves:
        steps.append(Step(rule="contract", data={"moves": moves}))
    if smaller.kinds and rng.random() < 0.7:
        smaller = uniform(smaller)
        steps.append(Step(rule="uniform"))
    for rule, change in (("hold", hold), ("anchor", anchor)):
        amount = rng.choice((0, 1, 5, 40))
        if rng.random() < 0.6:
            with suppress(RefusedError):
                smaller = change(smaller, amount)
                steps.append(Step(rule=rule, data={"amount": amount}))
    if smaller.shared and rng.random() < 0.5:
        payers = [rng.choice(sorted(q.users)) for q in smaller.shared]
        smaller = charge(smaller, payers)
        steps.append(Step(rule="charge", data={"payers": payers}))
    if any(smaller.working) and not smaller.kinds and rng.random() < 0.5:
        smaller = narrow(smaller)
        steps.append(Step(rule="narrow"))
    return smaller, steps


def _bounds(problem: PlainProblem, optimum: int, rng: random.Random, only: str) -> Iterator[Step]:
    """Yield steps that prove something of a problem, each by another rule, as high as a few trials reach."""
    if only:
        alone: dict[str, _Maker] = {
            "core-program": core_step,
            "fixing": rounds_step,
            "nested-cuts": _nested,
            "spreading-metric": metric_step,
            "lp-dual": lp_step,
            "ideal-program": _ideals,
        }
        if only in alone:
            yield from _highest(problem, optimum, rng, alone[only])
        return
    for rule in ("ideal-program", "windows") if not problem.kinds else ("ideal-program",):
        for threshold in sorted({optimum - 1, 3 * optimum // 4, optimum // 2, optimum // 4}, reverse=True):
            step = Step(rule=rule, data={"threshold": threshold})
            if _holds(problem, step):
                yield step
                break
    makers: tuple[_Maker, ...] = (core_step, rounds_step)
    if not problem.kinds:
        yield from (Step(rule="simple"), Step(rule="tensor-count"))
        cuts = [Step(rule="anchored-cut", data={"node": v, "share": s}) for v in range(problem.n) for s in (0, 40, 64)]
        yield max(cuts, key=lambda step: proven_by(problem, [step]))
        makers = (_packing, _prices, _shares, metric_step, lp_step, _nested, *makers)
    for make in makers:
        yield from _highest(problem, optimum, rng, make)


def _highest(problem: PlainProblem, optimum: int, rng: random.Random, make: _Maker) -> Iterator[Step]:
    """Yield the step that one rule makes at the highest of a few thresholds."""
    for threshold in (optimum - 1, 9 * optimum // 10, 3 * optimum // 4, optimum // 2):
        found = make(problem, threshold, rng)
        if found is not None and _holds(problem, found):
            yield found
            break


def _holds(problem: PlainProblem, step: Step) -> bool:
    try:
        proven_by(problem, [step])
    except RefusedError:
        return False
    return True


def _ideals(problem: PlainProblem, threshold: int, rng: random.Random) -> Step:
    return Step(rule="ideal-program", data={"threshold": threshold})


def _contracted(problem: PlainProblem, threshold: int, rng: random.Random) -> Step | None:
    """Return rounds of pairs that share a stage within a threshold, drawn at random; None if there are none."""
    rounds, left = list[list[int]](), problem
    for _ in range(3):
        pairs = list[int]()
        for _ in range(3 * left.n):
            pair = [rng.randrange(problem.n), rng.randrange(problem.n)]
            with suppress(RefusedError):
                left = threshold_contract(problem, threshold, [*rounds, pairs + pair])
                pairs += pair
        rounds += [pairs] if pairs else []
    return Step(rule="threshold-contract", data={"threshold": threshold, "rounds": rounds}) if rounds else None


def _packing(problem: PlainProblem, threshold: int, rng: random.Random) -> Step | None:
    for _ in range(20):
        data = {"threshold": threshold, "with_parameters": rng.random() < 0.5, "family": rng.randrange(3)}
        step = Step(rule="packing", data={**data, "parameter": rng.randint(0, max(1, threshold))})
        if _holds(problem, step):
            return step
    return None


def _prices(problem: PlainProblem, threshold: int, rng: random.Random) -> Step | None:
    prices = [w + rng.randint(0, 3) for w in problem.work]
    theta = max(0, (sum(prices) - 1) // problem.filled)
    order, tree, excluded = rng.sample(range(problem.n), problem.n), list[int](), 0
    for v in order:
        found = _tree(problem, threshold, prices, theta, 1 << v, excluded)
        if found is None:
            return None
        tree += found
        excluded |= 1 << v
    data = {"threshold": threshold, "prices": prices, "theta": theta, "order": order, "tree": tree}
    return Step(rule="stage-prices", data=data)


def _shares(problem: PlainProblem, threshold: int, rng: random.Random) -> Step | None:
    weights = [1 + w + rng.randint(0, 3) for w in problem.work]
    bounds, trees = [], []
    for v in range(problem.n):
        sets = [s for s in _convex_sets(problem) if s >> v & 1 and problem.cost(members(s)) <= threshold]
        bound = max((sum(weights[u] for u in members(s)) for s in sets), default=0)
        found = _tree(problem, threshold, weights, bound, 1 << v, 0)
        if found is None:
            return None
        bounds.append(bound)
        trees.append(found)
    data = {"threshold": threshold, "weights": weights, "bounds": bounds, "trees": trees}
    return Step(rule="counting-shares", data=data)


def _nested(problem: PlainProblem, threshold: int, rng: random.Random) -> Step | None:
    """Return a tree over groups of stages: at each vertex some multipliers are tried, then a node is drawn."""
    if problem.filled < 2 or threshold < 0:
        return None
    ends = sorted(rng.sample(range(1, problem.filled), rng.randrange(1, problem.filled)))
    sizes = [end - start for start, end in pairwise((0, *ends, problem.filled))]
    tensors = [[t.producer, *sorted(t.consumers)] for t in problem.tensors if t.cost]
    tree, shares, search = list[list[int]](), list[list[int]](), Search(problem, threshold, sizes)
    waiting = [search.root()]
    while waiting:
        windows = waiting.pop()
        leaf = [] if windows is None else _leaf(search, windows, shares, rng)
        if leaf is not None:
            tree.append(leaf)
            continue
        free = [v for v in range(problem.n) if windows and windows[0][v] < windows[1][v]]
        if not windows or not free:
            return None
        v = rng.choice(free)
        j = rng.randrange(windows[0][v], windows[1][v])
        tree.append([v, j])
        waiting += [search.side(windows, v, j, later=True), search.side(windows, v, j, later=False)]
    data = {"threshold": threshold, "sizes": sizes, "tree": tree, "tensors": tensors, "shares": shares}
    return Step(rule="nested-cuts", data=data)


def _leaf(search: Search, windows: Windows, shares: list[list[int]], rng: random.Random) -> list[int] | None:
    """Return a leaf that refutes some windows, with its shares added to those of the log; None if none is found."""
    groups, tensors = len(search.sizes), [t for t in search.problem.tensors if t.cost]
    for _ in range(8):
        loads = [rng.choice((1, 1, 1, 0, 2)) for _ in search.sizes]
        overflow = [rng.choice((0, load)) for load in loads]
        # Each boundary charges a tensor no more than groups beside it pay, and one of them charges it.
        most = [min(loads[: j + 1]) + min(loads[j + 1 :]) for j in range(groups - 1)]
        drawn = [rng.randrange(groups - 1) for _ in tensors]
        rows = [[most[j] * (j == at) for j in range(groups - 1)] for at in drawn]
        by_tensor = {(t.producer, t.consumers): row for t, row in zip(tensors, rows, strict=True)}
        without = groups == 2 and rng.random() < 0.5
        with suppress(RefusedError):
            search.check_leaf([*loads, *overflow], None if without else by_tensor, *windows)
            if without:
                return [*loads, *overflow]
            shares.append([share for row in rows for share in row])
            return [*loads, *overflow, len(shares) - 1]
    return None


def _convex_sets(problem: PlainProblem) -> Iterator[int]:
    for chosen in range(1, 1 << problem.n):
        sets = closed(problem, chosen, 0)
        if sets is not None and sets[0] == chosen:
            yield chosen


def _tree(
    problem: PlainProblem, threshold: int, prices: Sequence[int], theta: int, inside: int, outside: int
) -> list[int] | None:
    """Return a tree that shows that no set at the threshold is worth more than theta; None if that is not so."""
    if threshold < 0:
        return None
    stages = _Stages(problem, threshold)
    for num, den in ((1, 0), (0, 1), (1, 1), (1, 2), (2, 1)):
        for share in (0, 1):
            try:
                stages.walk(iter([(num, den, share)]), prices, theta, inside, outside)
            except RefusedError:
                continue
            return [num, den, share]
    free = [v for v in range(problem.n) if not (inside | outside) >> v & 1]
    if not free:
        return None
    first = _tree(problem, threshold, prices, theta, inside | 1 << free[0], outside)
    second = None if first is None else _tree(problem, threshold, prices, theta, inside, outside | 1 << free[0])
    return None if first is None or second is None else [free[0], BRANCHES, 0, *first, *second]

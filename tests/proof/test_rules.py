"""No rule proves more than the optimum, and each proves what it should, on random problems with known optima."""

from __future__ import annotations

import itertools
import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from framework.model.problem import Partition, bottleneck
from framework.proof.check import proven_by
from framework.proof.cuts import closed, least_cut, members
from framework.proof.ideals import _numbered, enumerate_ideals, ideal_program
from framework.proof.log import Step
from framework.proof.nested import Search, nested_cuts
from framework.proof.problem import PlainProblem, RefusedError, Shared, Tensor
from framework.proof.reductions import charge, contract, narrow
from framework.proof.spreading import spreading_metric
from framework.proof.stages import anchored_cut, stage_windows, windows
from framework.proof.sums import packing, simple
from framework.structure.primal.initial_interval import simple_bound
from framework.structure.reduction.dominance import moves_of_reduction
from tests.proof.cases import drawn_problems, moves


def plain(work: list[int], tensors: list[tuple[int, int, list[int]]], stages: int = 2) -> PlainProblem:
    zeros = (0,) * len(work)
    return PlainProblem(
        work=tuple(work),
        parameters=zeros,
        working=zeros,
        tensors=tuple(Tensor(cost, u, frozenset(row)) for cost, u, row in tensors),
        shared=(),
        capacity=0,
        stages=stages,
        node_of=tuple(range(len(work))),
    )


def exhausted(problem: PlainProblem) -> int:
    """Return the optimum, over all assignments of stages."""
    best = problem.cost(range(problem.n))
    for stage_of in itertools.product(range(problem.filled), repeat=problem.n):
        if all(stage_of[t.producer] <= stage_of[v] for t in problem.tensors for v in t.consumers):
            best = min(best, problem.bottleneck(stage_of))
    return best


def test_stages_cost_what_the_model_says() -> None:
    rng = np.random.default_rng(3)
    for problem, seen, _ in drawn_problems(60):
        stage = np.sort(rng.integers(0, problem.stages, problem.instance.n))
        assert seen.bottleneck(stage.tolist()) == bottleneck(problem, Partition(stage_of=stage))


def test_a_partition_that_goes_back_is_refused() -> None:
    problem = plain([1, 1], [(1, 0, [1])])
    for stage_of in ([1, 0], [0], [0, 2], [0, -1]):
        with pytest.raises(RefusedError):
            problem.bottleneck(stage_of)


def test_the_moves_of_presolve_are_allowed_and_keep_the_optimum() -> None:
    made = 0
    for problem, seen, optimum in drawn_problems(90):
        reduced, pairs = moves_of_reduction(problem.instance)
        smaller = contract(seen, moves(pairs).data["moves"])
        assert smaller.n == reduced.n
        if pairs:
            assert ideal_program(smaller, optimum - 1)[0] == optimum
            with pytest.raises(RefusedError):
                ideal_program(smaller, optimum)
        made += len(pairs)
    assert made > 30


def test_no_move_that_is_allowed_changes_the_optimum() -> None:
    allowed = 0
    for _, seen, optimum in drawn_problems(90, first=500):
        for x, y in itertools.permutations(range(seen.n), 2):
            try:
                smaller = contract(seen, [x, y])
            except RefusedError:
                continue
            allowed += 1
            assert ideal_program(smaller, optimum - 1)[0] == optimum
            with pytest.raises(RefusedError):
                ideal_program(smaller, optimum)
    assert allowed > 30


def test_a_node_does_not_move_past_another_path() -> None:
    # The node 0 is dominated by 1, but 2 reads it as well, and is no descendant of 1.
    problem = plain([0, 3, 3], [(5, 0, [1]), (0, 0, [2])])
    with pytest.raises(RefusedError, match="nothing shows"):
        contract(problem, [0, 1])
    assert contract(plain([0, 3, 3], [(5, 0, [1]), (0, 0, [2]), (0, 1, [2])]), [0, 1]).n == 2


def test_the_ideal_program_refutes_just_below_the_optimum_and_nothing_above() -> None:
    for _, seen, optimum in drawn_problems(90):
        assert ideal_program(seen, optimum - 1)[0] == optimum
        for more in (0, 1, 10):
            with pytest.raises(RefusedError, match="reach all nodes"):
                ideal_program(seen, optimum + more)


def test_the_compiled_loop_finds_what_the_plain_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framework.proof.ideals.PLAIN_STEPS", -1)
    for _, seen, optimum in drawn_problems(30, first=900):
        assert ideal_program(seen, optimum - 1) == ideal_program(seen, optimum - 1, plain=True)
        with pytest.raises(RefusedError):
            ideal_program(seen, optimum)


def test_all_ideals_are_found_with_their_sums() -> None:
    for _, drawn, _ in drawn_problems(60):
        seen = _numbered(drawn)
        ideals = enumerate_ideals(seen).ideals[0]
        facts = sorted(zip(ideals.work, ideals.held, ideals.cut, strict=True))
        wanted = []
        for chosen in itertools.product((False, True), repeat=seen.n):
            inside = {v for v in range(seen.n) if chosen[v]}
            if all(seen.predecessors[v] <= inside for v in inside):
                crossing = [t.cost for t in seen.tensors if t.producer in inside and not t.consumers <= inside]
                held = sum(seen.parameters[v] for v in inside)
                held += sum(q.cost for q in seen.shared if inside & q.users)
                wanted.append((sum(seen.work[v] for v in inside), held, sum(crossing)))
        assert facts == sorted(wanted)


def test_sums_are_those_of_the_formulations_and_below_the_optimum() -> None:
    for problem, seen, optimum in drawn_problems(90):
        assert simple(seen) == simple_bound(problem) <= optimum
        for threshold, with_parameters, family in itertools.product((optimum - 1, optimum), (False, True), (0, 1, 2)):
            for parameter in (*seen.work[:3], threshold // 3 + 1):
                try:
                    assert (
                        packing(seen, threshold, with_parameters=with_parameters, family=family, parameter=parameter)
                        <= optimum
                    )
                except RefusedError:
                    continue


def test_a_packing_counts_what_does_not_fit() -> None:
    # Five nodes of 4 in two stages: one holds three of them.
    problem = plain([4] * 5, [])
    assert packing(problem, 11, with_parameters=False, family=0, parameter=4) == 12 == exhausted(problem)
    with pytest.raises(RefusedError):
        packing(problem, 12, with_parameters=False, family=0, parameter=4)
    with pytest.raises(RefusedError, match="no family"):
        packing(problem, 11, with_parameters=False, family=3, parameter=4)


def test_relaxing_steps_raise_no_optimum() -> None:
    rng = random.Random(2)
    for _, seen, optimum in drawn_problems(60):
        charged = charge(seen, [rng.choice(sorted(q.users)) for q in seen.shared])
        assert exhausted(charged) <= optimum if seen.n <= 6 else True
        with pytest.raises(RefusedError):
            ideal_program(narrow(charged), optimum)
    with pytest.raises(RefusedError, match="does not use"):
        charge(
            PlainProblem(
                work=(1, 1),
                parameters=(0, 0),
                working=(0, 0),
                tensors=(),
                shared=(Shared(3, frozenset({0})),),
                capacity=0,
                stages=1,
                node_of=(0, 1),
            ),
            [1],
        )


def test_an_anchored_cut_is_the_cheapest_of_the_closed_sets() -> None:
    for _, seen, optimum in drawn_problems(90):
        for node, share in itertools.product(range(seen.n), (0, 20, 64)):
            assert anchored_cut(seen, node, share) <= optimum


def test_windows_are_true_and_refute_what_leaves_a_node_no_stage() -> None:
    refuted = 0
    for _, seen, optimum in drawn_problems(60, first=200):
        with pytest.raises(RefusedError, match="has a stage"):
            windows(seen, optimum)
        for threshold in (optimum - 1, optimum // 2, optimum // 3, 0):
            with suppress(RefusedError):
                refuted += windows(seen, threshold) == threshold + 1
        if seen.n > 6:
            continue
        found = stage_windows(seen, optimum)
        for stage_of in itertools.product(range(seen.filled), repeat=seen.n):
            if all(stage_of[t.producer] <= stage_of[v] for t in seen.tensors for v in t.consumers) and (
                seen.bottleneck(stage_of) <= optimum
            ):
                assert all(first <= s + 1 <= last for s, (first, last) in zip(stage_of, found, strict=True))
    assert refuted > 30


def test_two_stages_are_refuted_by_a_tree_and_by_no_less() -> None:
    # Three nodes in a row, of 4, 4 and 4: one stage has two of them, or a tensor of 3 is paid.
    problem = plain([4, 4, 4], [(3, 0, [1]), (3, 1, [2])])
    assert exhausted(problem) == 11
    tree = [[1, 0], [1, 0, 0, 0], [0, 1, 0, 0]]
    data: dict[str, Any] = {"sizes": [1, 1], "tensors": [], "shares": []}
    assert nested_cuts(problem, 10, tree=tree, **data) == (11, "3 rows, 2 cuts")
    for wrong, why in (
        (tree[:2], "too early"),
        ([*tree, []], "after its end"),
        ([[3, 0], *tree[1:]], "does not exist"),
        ([[1, 1], *tree[1:]], "does not exist"),
        ([[]], "no multipliers"),
        ([[1, 1, 0, 0]], "does not refute"),
        ([[1, 0], [1, 0, 2, 0], [0, 1, 0, 0]], "no multipliers"),
        ([[1, 0], [0, 0, 0, 0], [0, 1, 0, 0]], "no multipliers"),
        ([[1, 0], [1, 0, 0, 0, 0], [0, 1, 0, 0]], "do not exist"),
        ([[1, 0], [1, 0, 0, 0, 0, 0], [0, 1, 0, 0]], "no multipliers"),
    ):
        with pytest.raises(RefusedError, match=why):
            nested_cuts(problem, 10, tree=wrong, **data)
    with pytest.raises(RefusedError, match="does not refute"):
        nested_cuts(problem, 11, tree=tree, **data)
    for sizes in ([2], [1, 1, 1], [2, 0]):
        with pytest.raises(RefusedError, match="two groups or more"):
            nested_cuts(problem, 10, tree=tree, **(data | {"sizes": sizes}))


def test_what_one_node_uses_alone_counts_in_nested_cuts() -> None:
    problem = replace(plain([2, 3, 1], [], stages=3), shared=(Shared(5, frozenset({1})),))
    data: dict[str, Any] = {"sizes": [1, 1, 1], "tree": [[]], "tensors": [], "shares": []}
    assert exhausted(problem) == 8
    assert nested_cuts(problem, 7, **data) == (8, "1 rows, 0 cuts")
    with pytest.raises(RefusedError, match="no multipliers"):
        nested_cuts(problem, 8, **data)


def test_shares_charge_a_tensor_no_more_than_its_groups_pay() -> None:
    # Node 1 reads what node 0 makes. Both may be in the second stage, or apart.
    problem = plain([5, 5, 5], [(5, 0, [1])], stages=3)
    data: dict[str, Any] = {"sizes": [1, 1, 1], "tree": [[1, 1, 1, 0, 0, 0, 0]], "tensors": [[0, 1]]}
    for allowed in ([2, 0], [1, 1], [0, 2]):
        with pytest.raises(RefusedError, match="does not refute"):
            nested_cuts(problem, 9, shares=[allowed], **data)
    for shares in ([3, 0], [2, 1], [1, 2]):
        with pytest.raises(RefusedError, match="exceed what its groups pay"):
            nested_cuts(problem, 9, shares=[shares], **data)
    for wrong in ([2], [2, -1], [2, 0, 0]):
        with pytest.raises(RefusedError, match="not those of the tensors"):
            nested_cuts(problem, 9, shares=[wrong], **data)


@pytest.mark.parametrize("seed", range(0, 120, 10))
def test_what_groups_cost_at_least_is_no_more_than_what_any_partition_costs(seed: int) -> None:
    rng = random.Random(seed)
    for _, seen, _ in drawn_problems(10, first=seed):
        ends = sorted(rng.sample(range(1, seen.filled), rng.randrange(1, seen.filled))) if seen.filled > 1 else []
        sizes = [end - start for start, end in itertools.pairwise((0, *ends, seen.filled))]
        group_of = [group for group, size in enumerate(sizes) for _ in range(size)]
        search = Search(seen, sum(seen.work) * 9, sizes)
        windows = search.closed([rng.choice((0, 0, len(ends))) for _ in seen.work], [len(ends)] * seen.n)
        if windows is None or not ends:
            continue
        loads = [rng.randrange(4) for _ in sizes]
        overflow = [rng.randint(0, load) for load in loads]
        shares: dict[tuple[int, frozenset[int]], list[int]] = {}
        for tensor in seen.tensors:
            j = rng.randrange(len(ends))
            shares[tensor.producer, tensor.consumers] = [
                (min(loads[: j + 1]) + min(loads[j + 1 :])) * (j == at) for at in range(len(ends))
            ]
        least = search.least([*loads, *overflow], shares, *windows)
        for stage_of in itertools.product(range(seen.filled), repeat=seen.n):
            if all(stage_of[t.producer] <= stage_of[v] for t in seen.tensors for v in t.consumers) and all(
                first <= group_of[stage] <= last for stage, first, last in zip(stage_of, *windows, strict=True)
            ):
                costs = [seen.cost([v for v in range(seen.n) if stage_of[v] == s]) for s in range(seen.filled)]
                assert least <= sum(loads[group_of[s]] * cost for s, cost in enumerate(costs))


def test_cuts_are_minimal_over_sets_closed_under_convexity() -> None:
    rng = random.Random(5)
    for _, seen, _ in drawn_problems(60):
        sets = closed(seen, 1 << rng.randrange(seen.n), 1 << rng.randrange(seen.n) if seen.n > 2 else 0)
        if sets is None:
            continue
        inside, outside = sets
        weights = [rng.randint(-30, 30) for _ in seen.work]
        opened = [t for t in range(len(seen.tensors)) if rng.random() < 0.2]
        least = least_cut(seen, weights, seen.shared, scale=2, inside=inside, outside=outside, opened=opened)
        values = [
            _worth(seen, chosen, weights, opened)
            for chosen in range(1 << seen.n)
            if chosen & inside == inside and not chosen & outside and _convex(seen, chosen)
        ]
        assert values
        assert least <= min(values)
        if inside.bit_count() == seen.n:
            assert least == min(values)


def _convex(problem: PlainProblem, chosen: int) -> bool:
    sets = closed(problem, chosen, 0)
    return sets is not None and sets[0] == chosen


def _worth(problem: PlainProblem, chosen: int, weights: list[int], opened: list[int]) -> int:
    stage = set(members(chosen))
    total = sum(weights[v] for v in stage) + sum(q.cost for q in problem.shared if stage & q.users)
    for t, tensor in enumerate(problem.tensors):
        pins = {tensor.producer, *tensor.consumers}
        if stage & pins and (t in opened or not pins <= stage):
            total += 2 * tensor.cost
    return total


def test_a_chain_of_steps_that_ends_in_no_bound_proves_nothing() -> None:
    for _, seen, _ in drawn_problems(1):
        with pytest.raises(RefusedError, match="no step"):
            proven_by(seen, [Step(rule="narrow")])


def test_a_metric_counts_what_its_paths_show_and_nothing_else() -> None:
    # One tensor joins three nodes, and no two of them share a stage below 12: the optimum is 4 + 5.
    problem = plain([4, 4, 4], [(5, 0, [1, 2])], stages=3)
    data: dict[str, Any] = {"total": 1, "tensors": [[0, 1, 2]], "cliques": [[0, 0, 1, 2]], "rows": []}
    for threshold, bound in ((7, 8), (8, 9), (9, 9)):
        assert spreading_metric(problem, threshold, **data)[0] == bound
    assert spreading_metric(problem, 9, **data | {"cliques": []})[0] == 4
    apart = [10, 0, 0, 1, 1, 1, 0, 0]
    assert spreading_metric(problem, 9, **data | {"cliques": [], "rows": [apart]})[0] == 8
    # B >= 4 + 4 (1 - d) + 4 (1 - d) + 5 d, and d is at most 1.
    row = [1, 0, 0, -1, 2, 1, 0, 0, 2, 0, 0, 0, 0]
    assert spreading_metric(problem, 9, **data | {"total": 0, "cliques": [], "rows": [row]})[0] == 9
    wrong: tuple[dict[str, Any], ...] = (
        {"tensors": [[0, 1]]},
        {"cliques": [[0, 0, 0]]},
        {"cliques": [[]]},
        {"rows": [[1, 0, 0, -1, 1, 1, 2, 0]]},
        {"rows": [[1, 0, 0, -1, 1, 1, 0, -1]]},
        {"rows": [[-1, *row[1:]]]},
        {"rows": [[*row, 0, 0]]},
        {"rows": [[1, 0, 0, 1, 0]]},
        {"total": 0},
    )
    for change in wrong:
        with pytest.raises(RefusedError):
            spreading_metric(problem, 9, **data | change)

"""slice-graph finds valid partitions, starts from the incumbent, and ends when told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations.slice_graph import SliceGraph
from framework.bounds import Limit, Outcome, Reason, Soundness
from framework.formats import read_graph
from framework.model.instance import instance_from_lists
from framework.model.pricing import price
from framework.model.problem import Partition, Problem, bottleneck
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.structure.poset.topological_orders import OrderKind, topological_order
from framework.structure.primal.slicing import Slicer
from framework.structure.reduction.contraction import lift
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem


def _run(problem: Problem, board: Board | None = None, **parameters: Any) -> tuple[Outcome, Board]:
    return run_entry(SliceGraph(**parameters), problem, name="slice-graph", seed=5, board=board)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_against_exhaustion(seed: int) -> None:
    problem = random_problem(seed)
    outcome, board = _run(problem)
    optimum = brute_force_optimum(problem)
    assert outcome.incumbent is not None
    assert board.incumbent is not None
    assert outcome.incumbent.value == board.incumbent.value >= optimum
    assert outcome.incumbent.value == bottleneck(problem, outcome.incumbent.partition)
    assert outcome.termination.reason is Reason.FINISHED
    if problem.useful_stages == 1:
        assert outcome.incumbent.value == optimum


def test_a_chain_has_one_order_and_is_solved() -> None:
    rng = np.random.default_rng(2)
    tensors = [(v, int(rng.integers(0, 9)), [v + 1]) for v in range(11)]
    for stages in (2, 3, 4):
        problem = Problem(instance=instance_from_lists(rng.integers(0, 20, 12).tolist(), tensors), stages=stages)
        _, board = _run(problem, random_orders=0)
        assert board.incumbent is not None
        assert board.incumbent.value == brute_force_optimum(problem)


def test_it_is_as_good_as_its_orders_and_noise_can_only_help() -> None:
    instance = random_layered_instance(3, 150, width=40)
    problem = Problem(instance=instance, stages=6)
    values = []
    for kind in OrderKind:
        for reverse in (False, True):
            best = Slicer(instance, topological_order(instance, kind, reverse=reverse)).solve(6)
            assert best is not None
            values.append(best.value)
    plain, _ = _run(problem, random_orders=0)
    noisy, _ = _run(problem, random_orders=40)
    assert plain.incumbent is not None
    assert noisy.incumbent is not None
    assert plain.incumbent.value == min(values)
    assert noisy.incumbent.value < plain.incumbent.value
    assert plain.details["orders"] == 7
    assert noisy.details["orders"] == 47
    again, _ = _run(problem, random_orders=40)
    assert again.incumbent is not None
    assert np.array_equal(again.incumbent.partition.stage_of, noisy.incumbent.partition.stage_of)


def test_it_re_slices_the_incumbent() -> None:
    instance = random_layered_instance(3, 150, width=40)
    problem = Problem(instance=instance, stages=6)
    plain, _ = _run(problem, random_orders=0)
    noisy, _ = _run(problem, random_orders=40)
    assert plain.incumbent is not None
    assert noisy.incumbent is not None
    # Moving a node spoils the incumbent, but its order is still better than all that are tried otherwise.
    moved = noisy.incumbent.partition.stage_of.copy()
    moved[np.flatnonzero(moved == 5)[0]] = 4
    start = Partition(stage_of=moved)
    board = Board(problem, clock=lambda: 0.0)
    board.report_partition(start, source="test")
    outcome, _ = _run(problem, board, random_orders=0)
    assert outcome.details["improved_by"] == ["incumbent"]
    assert outcome.incumbent is not None
    assert outcome.incumbent.value < min(plain.incumbent.value, bottleneck(problem, start))


def test_it_reports_only_what_is_better() -> None:
    # {0, 2}, {1, 3, 4} is optimal: no order has anything below it.
    instance = instance_from_lists([5, 5, 5, 5, 5], [(0, 90, [2]), (1, 90, [3]), (2, 1, [4]), (3, 1, [4])])
    problem = Problem(instance=instance, stages=2)
    board = Board(problem, clock=lambda: 0.0)
    board.report_partition(Partition(stage_of=np.array([0, 1, 0, 1, 1], np.int64)), source="test")
    outcome, _ = _run(problem, board)
    assert outcome.incumbent is None
    assert outcome.details == {"orders": 24, "improved_by": []}


def test_it_stops_at_the_dual_bound() -> None:
    problem = Problem(instance=random_layered_instance(4, 60), stages=4)
    reference, _ = _run(problem, random_orders=0)
    assert reference.incumbent is not None
    board = Board(problem, clock=lambda: 0.0)
    board.report_partition(reference.incumbent.partition, source="test")
    board.report_dual(reference.incumbent.value, source="test", soundness=Soundness.EXACT)
    outcome, _ = _run(problem, board)
    assert outcome.termination.reason is Reason.OPTIMAL
    assert outcome.details["orders"] == 0


def test_it_ends_when_the_time_is_up_or_the_run_is_cancelled() -> None:
    problem = Problem(instance=random_layered_instance(5, 60), stages=4)
    late = LocalContext(Board(problem, clock=lambda: 0.0), "slice-graph", seconds=0.0)
    outcome = SliceGraph().bound(problem, late)
    assert (outcome.termination.reason, outcome.termination.limit) == (Reason.LIMIT, Limit.TIME)
    cancelled = LocalContext(Board(problem, clock=lambda: 0.0), "slice-graph", cancelled=lambda: True)
    assert SliceGraph().bound(problem, cancelled).termination.reason is Reason.INTERRUPTED


@pytest.mark.parametrize("parameters", [{"random_orders": -1}, {"noise": -0.1}, {"noise": float("nan")}])
def test_bad_parameters(parameters: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(parameters))):
        SliceGraph(**parameters)


@pytest.mark.parametrize(
    ("file", "stages", "optimum"),
    [
        ("LayerGraphs/bert24", 2, 47.479),
        ("LayerGraphs/gnmt", 8, 25.8496),
        ("LayerGraphs/resnet50", 8, 26.7612),
        ("OperatorGraphs/bert_l-3", 8, 27.1861),
        ("OperatorGraphs/resnet50", 2, 165.882),
    ],
)
def test_published_optima_are_found_on_reduced_graphs(
    shared_data: Path, file: str, stages: int, optimum: float
) -> None:
    instance = price(read_graph(shared_data / "dnn-partitioning" / f"{file}_inference.json"))
    reduced = reduce_exact(instance)
    outcome, _ = _run(Problem(instance=reduced, stages=stages))
    assert outcome.incumbent is not None
    lifted = lift(outcome.incumbent.partition, reduced)
    value = bottleneck(Problem(instance=instance, stages=stages), lifted)
    assert value == outcome.incumbent.value
    assert instance.in_units(value) == pytest.approx(optimum, rel=1e-5)

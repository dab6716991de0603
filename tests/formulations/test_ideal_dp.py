"""`ideal-dp`: exact where there are not too many ideals, honest where there are."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from framework.bounds import Limit, Reason
from framework.contracts import Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError, UserError
from framework.formats import read_graph
from framework.model.instance import instance_from_lists
from framework.model.pricing import price
from framework.model.problem import Problem, bottleneck, check_limit
from framework.model.unequal import make_unequal
from framework.portfolio.context.board import Board
from framework.portfolio.context.local import LocalContext, run_entry
from framework.registry import load_plugins, registry
from framework.structure.reduction.dominance import reduce_exact
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance, random_problem, random_unequal_problem

load_plugins()
ANTICHAIN = Problem(instance=instance_from_lists([1] * 30, []), stages=4)

OPTIMA = [
    ("LayerGraphs/bert24", 2, 47.479),
    ("LayerGraphs/bert24", 8, 14.2039),
    ("LayerGraphs/gnmt", 2, 93.1943),
    ("LayerGraphs/gnmt", 8, 25.8496),
    ("LayerGraphs/resnet50", 2, 101.281),
    ("LayerGraphs/resnet50", 8, 26.7612),
    ("OperatorGraphs/bert_l-3", 2, 33.2567),
    ("OperatorGraphs/bert_l-3", 8, 27.1861),
    ("OperatorGraphs/bert_l-6", 2, 46.2854),
    ("OperatorGraphs/bert_l-6", 8, 27.1861),
    ("OperatorGraphs/resnet50", 2, 165.882),
    ("OperatorGraphs/resnet50", 8, 89.3106),
]


class ShortContext(LocalContext):
    """A context in which a tenth of the time left is over whenever somebody asks for it."""

    left = 100.0

    def remaining(self) -> float:
        self.left *= 0.9
        return self.left


class EndlessSearch:
    """Decides nothing, and ends only when it is told to stop."""

    steps = 0

    def decide(self, stages: int, threshold: int, should_stop: Callable[[], bool]) -> None:
        while not should_stop():
            self.steps += 1
        raise OutOfTimeError("stopped")


@pytest.mark.parametrize(("patience", "most"), [(0.05, 1), (0.5, 10)])
def test_it_ends_where_one_decision_takes_too_much_of_the_time_left(
    patience: float, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("framework.structure.unequal.chain_dp.chain_search", lambda *_: EndlessSearch())
    problem = Problem(instance=random_layered_instance(4, 30, width=3), stages=4)
    context = ShortContext(Board(problem, clock=time.perf_counter), "ideal-dp")
    outcome = registry.create(f"ideal-dp:patience={patience}").bound(problem, context)
    assert outcome.termination.limit is Limit.TIME
    assert "decision" in outcome.termination.detail
    assert outcome.details["extensions"] <= most
    assert context.left > 1


def test_patience_is_a_share() -> None:
    for wrong in ("0", "1.5"):
        with pytest.raises(UserError, match="patience"):
            registry.create(f"ideal-dp:patience={wrong}")


def test_it_equals_exhaustion() -> None:
    for seed in range(10_000, 10_800):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        outcome, board = run_entry(registry.create("ideal-dp"), problem)
        assert outcome.termination.reason is Reason.OPTIMAL
        assert (board.interval.dual, board.interval.incumbent) == (optimum, optimum), f"random_problem({seed})"


@pytest.mark.parametrize(("name", "stages", "published"), OPTIMA)
def test_published_optima(shared_data: Path, name: str, stages: int, published: float) -> None:
    graph = read_graph(str(shared_data / "dnn-partitioning" / f"{name}_inference.json"))
    instance = price(graph)
    problem = Problem(instance=reduce_exact(instance), stages=stages)
    outcome, board = run_entry(registry.create("ideal-dp"), problem)
    assert outcome.termination.reason is Reason.OPTIMAL
    assert board.interval.closed
    assert board.incumbent is not None
    # The published figures are rounded to six digits.
    assert instance.in_units(board.incumbent.value) == pytest.approx(published, rel=5e-6)


def test_too_many_ideals_is_a_size_limit() -> None:
    outcome, board = run_entry(registry.create("ideal-dp:max_ideals=1000"), ANTICHAIN)
    assert outcome.termination.limit is Limit.SIZE
    assert outcome.termination.detail == "more than 1000 ideals"
    assert board.dual is None


def test_too_much_memory_is_a_memory_limit() -> None:
    outcome, _ = run_entry(registry.create("ideal-dp:max_ideals=100000000,max_megabytes=1"), ANTICHAIN)
    assert outcome.termination.limit is Limit.MEMORY


def test_it_decides_thresholds() -> None:
    problem = random_problem(17)
    optimum = brute_force_optimum(problem)
    decider = registry.create_decision("ideal-dp")
    context = LocalContext(Board(problem, clock=lambda: 0.0), "test")
    assert isinstance(decider.decide(problem, optimum, context), Satisfied)
    assert isinstance(decider.decide(problem, optimum - 1, context), Refuted)
    answer = registry.create_decision("ideal-dp:max_ideals=100").decide(ANTICHAIN, 8, context)
    assert answer == Undecided(reason="too many ideals")


def test_the_relaxing_reduction_bounds_and_its_partitions_are_priced_truly() -> None:
    finished = 0
    for seed in range(11_000, 11_200):
        problem = random_problem(seed)
        optimum = brute_force_optimum(problem)
        outcome, board = run_entry(registry.create("ideal-dp:epsilon=0.2"), problem)
        assert outcome.termination.reason in (Reason.OPTIMAL, Reason.FINISHED)
        assert board.interval.dual is not None
        assert board.interval.incumbent is not None
        assert board.interval.dual <= optimum <= board.interval.incumbent, f"random_problem({seed})"
        # All work taken away could have been in one stage.
        assert board.interval.dual >= optimum - problem.instance.total_work * 0.2
        finished += outcome.termination.reason is Reason.FINISHED
    assert finished > 5


def test_the_relaxing_reduction_takes_in_tiny_sources() -> None:
    chain = [(v, 40, [v + 1]) for v in range(29)]
    sources = [(30 + v, 3, [v]) for v in range(1, 30)]
    instance = instance_from_lists([100] * 30 + [4] * 30, chain + sources)
    problem = Problem(instance=reduce_exact(instance), stages=4)
    exact, _ = run_entry(registry.create("ideal-dp:max_ideals=50000"), problem)
    assert exact.termination.limit is Limit.SIZE
    relaxed, board = run_entry(registry.create("ideal-dp:max_ideals=50000,epsilon=0.03"), problem)
    assert relaxed.details["ideals"] < 100
    assert board.interval.ratio is not None
    assert board.interval.ratio > 0.96
    context = LocalContext(Board(problem, clock=lambda: 0.0), "test")
    decider = registry.create_decision("ideal-dp:max_ideals=50000,epsilon=0.03")
    assert board.interval.incumbent is not None
    assert board.interval.dual is not None
    assert isinstance(decider.decide(problem, board.interval.incumbent, context), Satisfied)
    assert isinstance(decider.decide(problem, board.interval.dual - 1, context), Refuted)


def test_the_relaxing_reduction_bounds_unequal_stages() -> None:
    # It relaxes to stages that are all the same, whose partitions may break a limit of one stage.
    for seed in range(200):
        problem = random_unequal_problem(seed)
        optimum = brute_force_optimum(problem)
        _, board = run_entry(registry.create("ideal-dp:epsilon=0.2"), problem)
        assert board.interval.dual is not None
        assert board.interval.dual <= optimum, seed
        if board.incumbent is not None:
            assert board.incumbent.value >= optimum, seed
            check_limit(problem, board.incumbent.partition)
        decider = registry.create_decision("ideal-dp:epsilon=0.2")
        context = LocalContext(Board(problem, clock=lambda: 0.0), "test")
        for threshold in (optimum - 1, optimum, optimum + 5):
            answer = decider.decide(problem, threshold, context)
            if isinstance(answer, Satisfied):
                check_limit(problem, answer.partition)
                assert bottleneck(problem, answer.partition) <= threshold
            # Where no partition obeys the limit, all thresholds may be refuted.
            assert not isinstance(answer, Refuted) or threshold < optimum or optimum > problem.instance.largest_cost


def test_the_prices_of_many_devices_count_as_memory() -> None:
    base = instance_from_lists([1] * 13, [])
    rows = [replace(base, work=base.work * (d + 1)) for d in range(10)]
    problem = Problem(instance=make_unequal(base, rows, np.arange(10)), stages=10)
    outcome, board = run_entry(registry.create("ideal-dp:max_megabytes=3"), problem)
    assert outcome.termination.limit is Limit.MEMORY
    assert board.dual is None
    context = LocalContext(Board(problem, clock=lambda: 0.0), "test")
    answer = registry.create_decision("ideal-dp:max_megabytes=3").decide(problem, 8, context)
    assert answer == Undecided(reason="too much memory")

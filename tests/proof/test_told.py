"""The proofs that docs/proofs.md tells in prose: their figures, checked again."""

from __future__ import annotations

import re
from typing import Any

import pytest

from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.instance import Instance
from framework.model.pricing import quantise
from framework.proof.check import _reduced, proven_by, replay
from framework.proof.cores.fixing import PARTS, Left
from framework.proof.cores.nets import nets_between
from framework.proof.cores.program import core_program
from framework.proof.ideals import _numbered, enumerate_ideals, ideal_program
from framework.proof.log import ProofLog, Step, read_log
from framework.proof.nested import Search
from framework.proof.problem import RefusedError, plain_problem
from framework.proof.reductions import contract
from framework.structure.reduction.dominance import moves_of_reduction
from tests.conftest import REPOSITORY
from tests.proof.cases import moves

TEXT = (REPOSITORY / "docs" / "proofs.md").read_text(encoding="utf-8")
OPTIMUM = 234_591_200_000
SIZES = (5, 14, 15, 32)
TWO_STAGES: dict[str, Any] = {"sizes": [1, 1], "tensors": [], "shares": []}


@pytest.fixture(scope="module")
def instance() -> Instance:
    return quantise(read_graph("testbed:squeezenet"), load_device("reference")).instance


def test_the_story_is_true(instance: Instance) -> None:
    step = moves(moves_of_reduction(instance)[1])
    assert step.data["moves"][:6] == [0, 1, 2, 1, 5, 6]
    assert len(step.data["moves"]) == 2 * 40
    problem = plain_problem(instance, 4)
    assert problem.n == 66
    assert not problem.can_overflow
    for node, cost, reader, work in ((0, 197_136_000_000, 1, 37_634_560_000), (2, 48_400_000_000, 3, 39_285_760_000)):
        (tensor,) = (problem.tensors[t] for t in problem.made_by[node])
        assert (tensor.cost, tensor.consumers, problem.work[node]) == (cost, frozenset({reader}), work)
        assert f"{cost:,}" in TEXT
        assert f"{work:,}" in TEXT
    (read,) = (problem.tensors[t] for t in problem.read_by[2])
    assert (read.cost, read.producer, read.consumers) == (197_136_000_000, 1, frozenset({2}))
    smaller = contract(problem, step.data["moves"])
    assert smaller.n == 26
    assert len(enumerate_ideals(_numbered(smaller)).ideals[0].work) == 27
    assert ideal_program(smaller, OPTIMUM - 1) == (OPTIMUM, "27 ideals of 26 nodes, 12 extensions")
    assert f"{OPTIMUM:,}" in TEXT
    assert f"{OPTIMUM - 1:,}" in TEXT
    with pytest.raises(RefusedError):
        proven_by(problem, [step, Step(rule="ideal-program", data={"threshold": OPTIMUM})])


def test_the_log_of_the_story_proves_the_partition_optimal(instance: Instance) -> None:
    graph = read_graph("testbed:squeezenet")
    steps = (moves(moves_of_reduction(instance)[1]), Step(rule="ideal-program", data={"threshold": OPTIMUM - 1}))
    log = ProofLog(
        graph=graph.sha256(),
        device=load_device("reference"),
        stages=4,
        bound=OPTIMUM,
        steps=steps,
        stage_of=tuple(stage for stage, size in enumerate(SIZES) for _ in range(size)),
    )
    assert replay(log, graph).optimal


def test_the_tree_of_the_wide_graph_proves_its_partition_optimal() -> None:
    graph = read_graph("testbed:regal-sbm-150-103")
    (block,) = re.findall(r"```text\n(135,0; .*?)\n```", TEXT, re.DOTALL)
    tree = [[int(number) for number in row.split(",")] for row in block.split(";")]
    assert (len(tree), sum(len(row) == 4 for row in tree)) == (59, 30)
    steps = (Step(rule="nested-cuts", data={"threshold": 5722, "tree": tree, **TWO_STAGES}),)
    log = ProofLog(graph=graph.sha256(), device=None, stages=2, bound=5723, steps=steps, stage_of=(0,) * 75 + (1,) * 75)
    found = replay(log, graph)
    assert found.optimal
    assert "59 rows, 30 cuts" in found.rows[-1].found


def test_what_is_told_of_the_wide_graph_is_true() -> None:
    problem = plain_problem(quantise(read_graph("testbed:regal-sbm-150-103")).instance, 2)
    assert (problem.n, len(problem.tensors), sum(problem.work), sum(problem.parameters)) == (150, 143, 7639, 0)
    assert (problem.cost(range(75)), problem.cost(range(75, 150))) == (5723, 5468)
    search = Search(problem, 5722, [1, 1])
    root = search.root()
    assert root is not None
    first, last = root
    assert (last.count(0), first.count(1)) == (18, 15)
    sides = search.side(root, 135, 0, later=False)
    assert sides is not None
    assert sides[1].count(0) == 107
    assert search.least([72, 56, 0, 0], None, *sides) == 757_928
    assert "757,928" in TEXT
    assert f"{128 * 5722:,}" in TEXT


FLUID = "43-46 56-57 64-67 77-78 85-88 98-99 106-109 119-120"
RAFT = REPOSITORY / "tests" / "proof" / "data" / "raft_large-4.proof.json.xz"


def test_the_core_of_the_graph_network_refutes_all_below_its_partition() -> None:
    instance = quantise(read_graph("testbed:pyg-gatv2conv-6"), load_device("reference")).instance
    problem, step = plain_problem(instance, 16), moves(moves_of_reduction(instance)[1])
    assert (problem.n, len(step.data["moves"])) == (186, 2 * 61)
    smaller, ranges = contract(problem, step.data["moves"]), [row.split("-") for row in FLUID.split()]
    fluid = [v for first, last in ranges for v in range(int(first), int(last) + 1)]
    nets = nets_between(smaller, smaller.order, fluid)
    costs = (sum(t.cost for t in smaller.tensors), sum(cost for _, (cost,) in nets))
    assert (smaller.n, len(nets), *costs) == (125, 108, 369_713_000_000, 341_011_000_000)
    assert sum(smaller.work[v] for v in fluid) == 10_464_640_000
    assert sum(smaller.work) == 910_151_040_000
    data: dict[str, Any] = {"order": smaller.order, "fluid": fluid, "backwards": False, "counted": 0, "some": []}
    data |= {"grain": 1, "weights": [], "chains": [], "units": [], "common": [], "by_unit": False}
    bound, words = core_program(smaller, 113_075_259_999, **data)
    assert bound == 113_075_260_000
    assert words.startswith("24 of 125 nodes in parts, 1526 ideals")
    with pytest.raises(RefusedError, match="13 stages"):
        core_program(smaller, bound, **data)
    for number in (*costs, 10_464_640_000, 910_151_040_000, bound - 1):
        assert f"{number:,}" in TEXT


def test_the_rounds_of_fixing_leave_what_is_told() -> None:
    log, graph = read_log(RAFT), read_graph("testbed:torchvision-raft_large")
    problem = plain_problem(quantise(graph, load_device("reference")).instance, 4)
    assert problem.n == 478
    for step in log.steps[:-1]:
        problem = _reduced(problem, step)
    left, told = Left(problem), list[Any]()
    rounds = log.steps[-1].data["rounds"]
    for at in range(0, len(rounds), len(PARTS)):
        parts = dict(zip(PARTS, rounds[at : at + len(PARTS)], strict=True))
        if parts["ways"]:
            both, alive = left.alive(parts, plain=False)
            sizes = len(both.forwards.core.fluid), len(both.forwards.core.nodes), len(both.forwards.members)
            told.append((*sizes, None if alive is None else [int(row.sum()) for row in alive]))
        refuted = left.refuted_by_round(parts, plain=False)
        told.append(left.problem.n)
    assert told == [427, (114, 313, 7996, [3, 14, 110]), 103, 103, (35, 68, 6962, None), 103]
    assert refuted
    assert log.bound == 631_896_857_600
    assert problem.stages == log.stages == 4
    assert log.stage_of is not None


def test_the_log_of_the_rounds_proves_its_partition_optimal() -> None:
    assert replay(read_log(RAFT), read_graph("testbed:torchvision-raft_large")).optimal

"""Shorter proofs prove as much, by the same checker, and are not slow to check."""

from __future__ import annotations

import time
from types import FunctionType

import pytest

from framework.proof.check import proven_by
from framework.proof.log import Step
from framework.proof.problem import PlainProblem, RefusedError, Tensor
from framework.proof.shorten import Shortener, _at_most, _TooLongError
from framework.proof.stages import BRANCHES
from framework.testing.proofs import proven_problems

CHAIN = PlainProblem(
    work=(3, 3, 3, 3),
    parameters=(0,) * 4,
    working=(0,) * 4,
    tensors=tuple(Tensor(9, v, frozenset((v + 1,))) for v in range(3)),
    shared=(),
    capacity=0,
    stages=2,
    node_of=(0, 1, 2, 3),
)
"""Every move is allowed, and one stage of all nodes is best."""


def numbers_in(value: object) -> int:
    rows = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if rows is None else sum(map(numbers_in, rows))


def test_random_proofs_become_shorter_and_prove_as_much() -> None:
    before = after = 0
    rules = set[str]()
    for case in proven_problems(range(18), 5):
        bound = proven_by(case.problem, case.steps)
        shorter = Shortener(case.problem, case.steps, bound, seconds=1.0, plain=True).run()
        assert bound <= proven_by(case.problem, shorter) <= case.optimum, (case, shorter)
        sizes = [sum(numbers_in(dict(step.data)) for step in steps) for steps in (case.steps, shorter)]
        assert sizes[1] <= sizes[0]
        before, after = before + sizes[0], after + sizes[1]
        rules |= {shorter[-1].rule} if sizes[1] < sizes[0] else set()
    assert after < before * 0.8
    assert rules >= {"ideal-program", "core-program", "fixing"}


def test_a_contraction_that_nothing_rests_on_is_left_out() -> None:
    moves = Step(rule="contract", data={"moves": [0, 1, 3, 2]})
    refuted = Step(rule="ideal-program", data={"threshold": 11})
    assert Shortener(CHAIN, [moves, refuted], 12).run() == [refuted]
    cut = Step(rule="anchored-cut", data={"node": 1, "share": 0})
    assert proven_by(CHAIN, [moves, cut]) == 12
    assert proven_by(CHAIN, Shortener(CHAIN, [moves, cut], 12).run()) == 12


def test_branches_with_leaves_alike_become_one() -> None:
    # Node 0 alone costs 3 + 9, and whatever holds it as much: one leaf says so; so for the other nodes.
    leaf, tree = [1, 0, 0], list[int]()
    for v in range(4):
        tree += [v + 1, BRANCHES, 0, *leaf, *leaf] if v < 2 else leaf
    prices = {"prices": [1] * 4, "theta": 0, "order": [0, 1, 2, 3], "tree": tree}
    step = Step(rule="stage-prices", data={"threshold": 11, **prices})
    (shorter,) = Shortener(CHAIN, [step], 12).run()
    assert shorter.data["tree"] == leaf * 4


def test_what_proves_too_little_is_refused_and_a_slow_check_is_ended() -> None:
    with pytest.raises(RefusedError, match="less than the log says"):
        Shortener(CHAIN, [Step(rule="ideal-program", data={"threshold": 5})], 7)
    with pytest.raises(_TooLongError):
        _work_for_ever()


def _work_for_ever() -> None:
    with _at_most(0.01):
        while True:
            pass


def test_what_is_being_loaded_or_compiled_is_not_interrupted() -> None:
    done = list[str]()

    def work(name: str) -> None:
        end = time.process_time() + 0.3
        while time.process_time() < end:
            pass
        done.append(name)

    compiling = FunctionType(work.__code__, {"__name__": "numba.core", "time": time}, closure=work.__closure__)

    def both() -> None:
        with _at_most(0.05):
            compiling("numba")
            work("the rest")

    with pytest.raises(_TooLongError):
        both()
    assert done == ["numba"]

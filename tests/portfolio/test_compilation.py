"""What runs need is compiled before their clock starts, in processes that may fail."""

from __future__ import annotations

import ast
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from framework import kernel_cache
from framework.contracts import HasExamples
from framework.kernel_cache import NUMBA_VARIABLE, VARIABLE
from framework.model.arrays import IntArray
from framework.model.problem import Problem
from framework.portfolio import compilation
from framework.portfolio.compilation import Compiling, all_names, compile_beforehand, names_for, say_plainly
from framework.portfolio.members import Member
from framework.portfolio.precompile import REDUCTIONS, UNEQUAL, compile_one
from framework.portfolio.run_options import RunOptions
from framework.portfolio.runner import PRESOLVE, Runner
from framework.registry import load_plugins, registry
from framework.structure.reduction import contraction
from framework.testing.instances import random_layered_instance
from tests.conftest import REPOSITORY


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Note in an empty folder what is compiled; the kernels themselves are found where they are."""
    load_plugins()
    monkeypatch.setattr(kernel_cache, "stamp_directory", lambda: tmp_path / "stamps")
    compilation._say_once.cache_clear()
    yield
    compilation._say_once.cache_clear()


class Teller:
    def __init__(self) -> None:
        self.states: list[Compiling] = []

    def __call__(self, state: Compiling) -> None:
        self.states.append(state)


def test_members_need_their_entries_and_those_they_drive() -> None:
    members = [Member(entry="", name=PRESOLVE), Member(entry="bisection:over=counting"), Member(entry="simple")]
    names = names_for(members)
    assert names[0] == "reductions"
    assert {"bisection", "counting", "simple"} <= set(names)
    assert set(names) <= set(all_names())


def test_what_is_compiled_is_noted_and_not_done_again() -> None:
    tell = Teller()
    assert compile_beforehand(["simple", "reductions"], tell) == ()
    assert tell.states[-1].ended
    assert tell.states[-1].done == tell.states[-1].total == 2
    assert kernel_cache.is_compiled("simple")
    assert kernel_cache.is_compiled("reductions")
    again = Teller()
    assert compile_beforehand(["simple", "reductions"], again) == ()
    assert not again.states


def test_a_process_that_dies_costs_its_entry_only() -> None:
    states: list[Compiling] = []

    def tell(state: Compiling) -> None:
        states.append(state)
        if "cp-sat" in state.names:
            import multiprocessing

            for child in multiprocessing.active_children():
                assert child.pid is not None
                os.kill(child.pid, signal.SIGKILL)

    failed = compile_beforehand(["cp-sat", "simple"], tell)
    assert "cp-sat" in failed
    assert not kernel_cache.is_compiled("cp-sat")
    assert "cp-sat" in states[-1].words


def test_it_ends_when_nobody_waits_any_more() -> None:
    tell = Teller()
    assert compile_beforehand(["simple"], tell, lambda: True) == ()
    assert not kernel_cache.is_compiled("simple")


def test_where_nothing_can_be_kept_it_says_so_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(kernel_cache, "stamp_directory", lambda: Path("/proc/nobody"))
    monkeypatch.delenv(NUMBA_VARIABLE, raising=False)
    assert compile_beforehand(["simple"], say_plainly) == ()
    assert compile_beforehand(["simple"], say_plainly) == ()
    words = capsys.readouterr().err
    assert words.count("\n") == 1
    assert VARIABLE in words


def test_the_clock_stands_while_it_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("framework.portfolio.clock.time.monotonic", lambda: now)
    # Presolve of an instance that is not small has kernels.
    monkeypatch.setattr("framework.portfolio.runner.SMALL_NODES", 0)
    problem = Problem(instance=random_layered_instance(0, 10, width=3), stages=2)
    members = (Member(entry="simple"), Member(entry="sweep", after=("simple",)))
    asked: list[tuple[list[str], list[str]]] = []

    def compile_for(ready: Sequence[Member], soon: Sequence[Member], stop: Callable[[], bool]) -> None:
        nonlocal now
        asked.append(([member.label for member in ready], [member.label for member in soon]))
        now += 1000.0
        runner.interrupted = lambda: True
        assert stop()

    runner = Runner(problem, members, RunOptions(started=100.0, budget=5.0, workers=1), compile_for=compile_for)
    record = runner.run()
    assert asked == [([PRESOLVE], ["simple", "sweep"])]
    assert runner.deadline == 1105.0
    assert record.seconds == 0.0


def test_what_takes_longest_is_compiled_first_and_beside_no_entry_with_the_same_kernels() -> None:
    names = sorted(all_names(), key=compilation._place)
    first = ["counting", "core-fluid", "nested-cuts", "column-enumeration", "ideal-dp", "stage-cover", "reductions"]
    longest = len(first) + 3
    assert [name for name in names[:longest] if not name.endswith(UNEQUAL)] == first
    assert {name for name in names[:longest] if name.endswith(UNEQUAL)} == {
        "core-fluid" + UNEQUAL,
        "nested-cuts" + UNEQUAL,
        "ideal-dp" + UNEQUAL,
    }
    kinds = [registry.get(name.removesuffix(UNEQUAL)).kind for name in names[longest:]]
    assert kinds == sorted(kinds)
    forerunners = {name: compilation._forerunner(name) for name in names if compilation._forerunner(name)}
    for name in [name for name in names if name.endswith(UNEQUAL)]:
        assert forerunners.pop(name) + UNEQUAL == name
    pricing = {"stage-cover": "counting", "column-generation": "stage-cover", "column-enumeration": "stage-cover"}
    assert forerunners == {**pricing, "fixing": "core-fluid"}


def test_what_unequal_stages_need_is_compiled_for_them_only(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, ...]] = []
    monkeypatch.delenv(compilation.MODE_VARIABLE, raising=False)
    monkeypatch.setattr(compilation, "compile_beforehand", lambda names, tell, stop: asked.append(names))
    for unequal in (False, True):
        compilation.compile_for(Teller(), unequal=unequal)([Member(entry="annealing")], [], lambda: False)
    assert asked == [("annealing",), ("annealing", "annealing" + UNEQUAL)]
    assert set(asked[1]) <= set(all_names())


def test_entries_say_themselves_on_what_they_are_compiled() -> None:
    """Nothing that runs entries knows one by name; what writes their proofs down knows the kinds of certificates."""
    names = {entry.name for entry in registry.entries()} - {"default"}
    folder = REPOSITORY / "framework" / "portfolio"
    for path in sorted(set(folder.rglob("*.py")) - set((folder / "logs").rglob("*.py"))):
        strings = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert not strings & names, path
    for name in ("core-fluid", "fixing", "multilevel"):
        made = registry.create(name)
        assert isinstance(made, HasExamples)
        assert all(isinstance(problem, Problem) for problem in made.examples())
    (problem,) = registry.create("multilevel").examples()
    assert problem.instance.n > registry.create("multilevel").nodes


def test_reductions_include_a_contraction_that_closes_a_cycle(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its kernels would otherwise be compiled in the time of the first member that needs them."""
    found, sizes = contraction._strong_components, list[int]()

    def noted(ptr: IntArray, heads: IntArray) -> IntArray:
        sizes.append(len(ptr) - 1)
        return found(ptr, heads)

    monkeypatch.setattr(contraction, "_strong_components", noted)
    compile_one(REDUCTIONS)
    assert sizes

"""Parameters that name other entries: checked, to any depth, before anything runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest

from framework.bounds import Outcome
from framework.contracts import Context, Feature
from framework.errors import UserError
from framework.model.problem import Problem
from framework.portfolio.solve import check_entries
from framework.registry import Entry, FormulationName, Kind, Names, Registry, load_plugins, registry
from tests.cli.conftest import graph_file as graph_file

load_plugins()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounder:
    """A formulation that asks another one."""

    inner: FormulationName = "leaf"

    def bound(self, problem: Problem, context: Context) -> Outcome:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A formulation that asks nobody."""

    size: int = 1

    def bound(self, problem: Problem, context: Context) -> Outcome:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Picky:
    """A strategy that takes leaves only."""

    of: Annotated[str, Names(contract=Leaf, lacks="is no leaf")] = "leaf"

    def run(self, problem: Problem, context: Context) -> Outcome:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("entry", "what"),
    [
        ("bisection:over=cp-sta", "bisection:over: nothing is registered as 'cp-sta' (did you mean cp-sat"),
        ("bisection:over=mien", "bisection:over: nothing is registered as 'mien'"),
        ("bisection:over=simple", "bisection:over: simple decides no thresholds (choose one of: "),
        ("bisection:over=[cp-sat:unti=1]", "bisection:over: cp-sat has no parameter 'unti'"),
        ("bisection:over=[cp-sat:max_size=0]", "bisection:over: cp-sat:max_size=0: max_size must be at least 1"),
        ("bisection:over=", "bisection:over: nothing is registered as ''"),
        ("fixing:over=cp-sta", "fixing:over: nothing is registered as 'cp-sta'"),
        ("merged:over=nested-cut", "merged:over: nothing is registered as 'nested-cut' (did you mean nested-cuts"),
        ("merged:over=weave", "merged:over: weave is no formulation"),
        ("merged:over=default", "merged:over: default is no formulation"),
        ("lagrangian:over=nested", "lagrangian:over: nothing is registered as 'nested'"),
        ("lagrangian:over=simple", "lagrangian:over: simple has no Lagrangian relaxation (choose one of: nested-cuts"),
        ("column-generation:over=stagecover", "column-generation:over: nothing is registered as 'stagecover'"),
        ("column-generation:over=simple", "simple generates no columns (choose one of: stage-cover"),
    ],
)
def test_a_wrong_nested_name_is_told_with_the_way_to_it(entry: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        registry.create(entry)
    assert what in str(caught.value)


@pytest.mark.parametrize("entry", registry.entries(), ids=lambda entry: entry.name)
def test_defaults_can_be_created_and_every_over_is_checked(entry: Entry) -> None:
    registry.create(entry.name)
    assert {parameter.name for parameter in entry.parameters() if parameter.name == "over"} <= set(entry.nested())


def test_names_are_checked_to_any_depth_and_in_entries_of_others() -> None:
    mine = Registry()
    for name, kind, factory in (
        ("ask", Kind.FORMULATION, Bounder),
        ("leaf", Kind.FORMULATION, Leaf),
        ("picky", Kind.STRATEGY, Picky),
    ):
        mine.add(Entry(name=name, kind=kind, factory=factory, features=frozenset(), summary="", reference=""))
    mine.create("ask:inner=[ask:inner=[ask:inner=[leaf:size=3]]]")
    for text, what in (
        ("ask:inner=[ask:inner=[ask:inner=laef]]", "ask:inner: ask:inner: ask:inner: nothing is registered as 'laef'"),
        ("ask:inner=[ask:inner=[leaf:size=x]]", "ask:inner: ask:inner: leaf:size: 'x' is no int"),
        ("ask:inner=picky", "ask:inner: picky is no formulation (choose one of: ask, leaf)"),
        ("picky:of=ask", "picky:of: ask is no leaf (choose one of: leaf)"),
    ):
        with pytest.raises(UserError) as caught:
            mine.create(text)
        assert what in str(caught.value)


def test_no_entry_runs_while_another_one_is_misspelt() -> None:
    check_entries(["simple", "default", "bisection"], [1, 2, 100])
    with pytest.raises(UserError, match="nothing is registered as 'mien'"):
        check_entries(["simple", "bisection:over=mien"], [2])


@pytest.mark.parametrize(
    "arguments",
    [
        ["solve", "{graph}", "-k", "2", "--with", "bisection:over=cp-sta"],
        ["compare", "{graph}", "simple", "bisection:over=cp-sta", "-k", "2"],
        ["recommend", "{graph}", "--stages", "1..2", "--with", "bisection:over=cp-sta"],
        ["check", "bisection:over=cp-sta"],
    ],
    ids=lambda arguments: str(arguments[0]),
)
def test_every_command_refuses_it_with_one_line(
    arguments: list[str], graph_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from framework.cli import run

    monkeypatch.setattr("sys.argv", ["pipebound", *(text.format(graph=graph_file) for text in arguments)])
    assert run() == 2
    told: Any = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("\n") == 1
    assert "bisection:over: nothing is registered as 'cp-sta' (did you mean cp-sat" in told.err


def test_the_features_of_a_nested_entry_count() -> None:
    decide = registry.get("bisection").nested()["over"]
    assert decide.accepts(registry.get("cp-sat"))
    assert not decide.accepts(registry.get("simple"))
    assert all(decide.accepts(entry) for entry in registry.entries(supporting=[Feature.DECISION]))

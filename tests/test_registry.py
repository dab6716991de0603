"""The registry: typed parameters, no duplicates, clear errors, plugins."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from framework.bounds import Outcome, Reason, Termination
from framework.contracts import Context, Feature
from framework.errors import UserError
from framework.model.problem import Problem
from framework.registry import Entry, EntrySpec, Kind, Registry, load_plugin_file, load_plugins, registry


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    groups: int = 2
    share: float = 0.5
    windows: bool = True
    over: str = "simple"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.groups < 1:
            raise ValueError("groups must be at least 1")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        return Outcome(termination=Termination(reason=Reason.FINISHED))


def entry(name: str = "example", factory: type = Example, features: frozenset[Feature] = frozenset()) -> Entry:
    return Entry(name=name, kind=Kind.FORMULATION, factory=factory, features=features, summary="", reference="")


@pytest.fixture
def fresh() -> Registry:
    fresh = Registry()
    fresh.add(entry())
    return fresh


def test_parameters_are_typed(fresh: Registry) -> None:
    made = fresh.create("example:groups=4,share=0.25,windows=false,over=[a:b=1,c=2],limit=7")
    assert made == Example(groups=4, share=0.25, windows=False, over="a:b=1,c=2", limit=7)
    assert fresh.create("example:limit=none") == Example()


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("exampel", "nothing is registered as 'exampel' (did you mean example?)"),
        ("example:colour=1", "example has no parameter 'colour' (its parameters: groups, share, windows, over, limit)"),
        ("example:groups=many", "example:groups: 'many' is no int"),
        ("example:windows=maybe", "example:windows: 'maybe' is no bool"),
        ("example:groups", "example:groups: cannot read 'groups' (write name:param=value,param=value)"),
        ("example:groups=0", "example:groups=0: groups must be at least 1"),
    ],
)
def test_mistakes_get_one_clear_line(fresh: Registry, spec: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        fresh.create(spec)
    assert str(caught.value) == words


def test_duplicates_are_rejected(fresh: Registry) -> None:
    with pytest.raises(UserError, match=r"the name .example. is taken by tests\.test_registry\.Example"):
        fresh.add(entry())


def test_an_entry_must_fulfil_its_contract() -> None:
    with pytest.raises(UserError, match="has no 'decide'"):
        Registry().add(entry(features=frozenset({Feature.DECISION})))
    with pytest.raises(UserError, match="is no name"):
        Registry().add(entry(name="Not A Name"))
    with pytest.raises(UserError, match="not a dataclass"):
        Registry().add(entry(factory=int))


def test_features_are_queried(fresh: Registry) -> None:
    fresh.add(entry("other", features=frozenset({Feature.DUAL, Feature.EXACT})))
    assert [found.name for found in fresh.entries(supporting=[Feature.DUAL])] == ["other"]
    assert [found.name for found in fresh.entries()] == ["example", "other"]
    with pytest.raises(UserError, match="example decides no thresholds"):
        fresh.create_decision("example")


def test_specs_round_trip() -> None:
    for text in ("a", "a:b=1", "a:b=1,c=x"):
        assert str(EntrySpec.parse(text)) == text


def test_built_ins_come_in_through_the_entry_points() -> None:
    assert load_plugins() == ()
    names = {found.name for found in registry.entries()}
    assert {"simple", "anchored-cut", "ideal-dp", "cp-sat", "slice-graph", "annealing", "bisection", "default"} <= names


def test_every_entry_has_a_summary_and_can_be_created_bare() -> None:
    load_plugins()
    for found in registry.entries():
        assert found.summary, found.name
        assert registry.create(found.name) is not None


PLUGIN = """
from dataclasses import dataclass
from framework.bounds import Outcome, Reason, Termination
from framework.contracts import Feature
from framework.registry import register_formulation

@register_formulation("{name}", features=[Feature.DUAL], summary="of a test")
@dataclass(frozen=True, slots=True, kw_only=True)
class Mine:
    depth: int = 3

    def bound(self, problem, context):
        return Outcome(termination=Termination(reason=Reason.FINISHED))
"""


def test_one_file_registers_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(PLUGIN.format(name="test-one-file"))
    load_plugin_file(path)
    load_plugin_file(path)
    assert registry.get("test-one-file").parameters()[0].name == "depth"


def test_a_broken_plugin_file_is_a_users_mistake(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file .give Python files as `plugin_files`"):
        load_plugin_file(tmp_path / "absent.py")
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0")
    with pytest.raises(UserError, match=r"broken\.py:\d+: the plugin failed to load: ZeroDivisionError"):
        load_plugin_file(broken)
    clash = tmp_path / "clash.py"
    clash.write_text(PLUGIN.format(name="simple"))
    load_plugins()
    with pytest.raises(UserError, match="the name 'simple' is taken"):
        load_plugin_file(clash)


def test_tuned_constants_are_no_parameters() -> None:
    entry = registry.get("core-fluid")
    assert "tuning" in {field.name for field in dataclasses.fields(entry.factory)}
    assert [parameter.name for parameter in entry.parameters()] == [
        "first_ideals",
        "max_ideals",
        "tolerance",
        "epsilon",
    ]
    with pytest.raises(UserError, match="core-fluid has no parameter 'tuning'"):
        registry.create("core-fluid:tuning=1")

"""The portfolio file: every member exists, and `paper` holds nothing of ours."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from framework.errors import UserError
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.members import Portfolio
from framework.registry import EntrySpec, Kind, load_plugins, registry
from framework.testing.instances import random_layered_instance
from strategies.portfolios import built_in_rows, read_rows
from tests.conftest import REPOSITORY

load_plugins()
STAGES = (1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 17, 32, 64, 65, 128)
NODES = (1, 12, 300, 301, 600, 1000, 3500, 3501, 20_000)
PROBLEM = Problem(instance=random_layered_instance(0, 12), stages=3)


@pytest.mark.parametrize("name", [entry.name for entry in registry.entries(Kind.PORTFOLIO)])
def test_every_member_can_be_made_and_waits_for_members_that_come_before_it(name: str) -> None:
    portfolio = registry.create(name)
    assert isinstance(portfolio, Portfolio)
    seen: set[str] = set()
    for member in portfolio.members(PROBLEM, 2):
        registry.create(member.entry)
        assert set(member.after) <= seen
        assert member.label not in seen
        seen.add(member.label)
    assert seen


def test_the_paper_portfolio_is_the_paper() -> None:
    members = registry.create("paper").members(PROBLEM, 2)
    names = {EntrySpec.parse(member.entry).name for member in members}
    assert names == {"simple", "slice-graph", "brkga-10000", "bottleneck", "guess-bottleneck"}
    assert {member.space for member in members} == {"original"}
    for name in names:
        assert "Archer" in registry.get(name).reference


@pytest.fixture(scope="module")
def instances() -> dict[int, Instance]:
    return {n: instance_from_lists([1] * n, [(v, 1, [v + 1]) for v in range(n - 1)]) for n in NODES}


@pytest.mark.parametrize("name", ["default", "paper"])
def test_every_row_is_chosen_somewhere_and_its_members_fit_together(name: str, instances: dict[int, Instance]) -> None:
    rows = built_in_rows(name)
    used = set()
    for n, instance in instances.items():
        for stages in STAGES:
            problem = Problem(instance=instance, stages=stages)
            used |= {i for i, row in enumerate(rows) if row.suits(problem)}
            seen: set[str] = set()
            for member in registry.create(name).members(problem, 2):
                registry.create(member.entry)
                assert set(member.after) <= seen
                assert member.label not in seen, f"{member.label} twice at n = {n}, k = {stages}"
                seen.add(member.label)
    assert used == set(range(len(rows)))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        ({"entry": "simple", "after": ["slice-grpah"]}, "members[1].after: no row before this one is 'slice-grpah'"),
        ({"entry": "simple", "after": ["slice-grpah"]}, "did you mean slice-graph?"),
        ({"entry": "simple", "after": ["simple"]}, "no row before this one is 'simple'"),
        ({"entry": "simpel"}, "did you mean simple"),
        ({"entry": "bisection:over=mien"}, "nothing is registered as 'mien'"),
        ({"entry": "simple", "shrae": 0.5}, "members[1].shrae: there is no such key (did you mean share?)"),
        ({"entry": "simple", "share": 0}, "share must be in (0, 1]"),
        ({"entry": "simple", "share": "all"}, "members[1].share"),
        ({"entry": "simple", "threads": 1.5}, "members[1].threads"),
        ({"entry": "simple", "space": "orginal"}, "did you mean original?"),
        ({"entry": "simple", "nodes": [300, 0]}, "members[1].nodes"),
        ({"entry": "simple", "stages": 3}, "members[1].stages"),
        ({}, "members[1].entry: is missing"),
    ],
)
def test_a_wrong_row_is_rejected_when_it_is_read(row: dict[str, Any], what: str) -> None:
    with pytest.raises(UserError) as caught:
        read_rows([{"entry": "slice-graph"}, row], "p.toml")
    assert what in str(caught.value)


def test_the_portfolios_of_the_tuning_studies_are_right() -> None:
    tables = tomllib.loads((REPOSITORY / "studies" / "portfolio_variants.toml").read_text())
    assert tables
    for name, table in tables.items():
        assert read_rows(table["members"], name)

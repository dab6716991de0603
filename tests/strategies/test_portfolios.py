"""The portfolio file: every member exists, and `paper` holds nothing of ours."""

from __future__ import annotations

import pytest

from framework.model.problem import Problem
from framework.portfolio.members import Portfolio
from framework.registry import EntrySpec, Kind, load_plugins, registry
from framework.testing.instances import random_layered_instance

load_plugins()
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

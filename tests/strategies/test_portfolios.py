"""The portfolio file: every member exists, and `paper` holds nothing of ours."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from framework.contracts import Feature
from framework.model.instance import Instance, instance_from_lists
from framework.model.problem import Problem
from framework.portfolio.members import Member, Portfolio
from framework.portfolio.portfolio_file import read_portfolios
from framework.registry import EntrySpec, Kind, load_plugins, registry
from framework.testing.instances import random_layered_instance
from strategies.portfolios import BUILT_IN
from tests.conftest import REPOSITORY

load_plugins()
STAGES = (1, 2, 3, 4, 5, 6, 8, 9, 12, 16, 17, 32, 64, 65, 128)
NODES = (1, 12, 300, 301, 600, 1000, 3500, 3501, 20_000)
LEAST_PART = 0.1
"""Part of the budget that those who bound, and those who partition, get at least."""
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
    (rows,) = (table.rows for table in BUILT_IN if table.name == name)
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


def test_the_portfolios_of_the_tuning_studies_are_right() -> None:
    for table in read_portfolios(REPOSITORY / "studies" / "portfolio_variants.toml"):
        table.check_entries()


def test_no_row_ends_at_a_size_that_only_stands_for_no_end() -> None:
    for table in BUILT_IN:
        for row in table.rows:
            assert row.nodes.most is None or row.nodes.most < 100_000
            assert row.stages.most is None or row.stages.most < 1000


QUICK = {"slice-graph", "tensor-count", "packing", "anchored-cut"}
"""Entries that end by themselves within a small part of any budget."""


def worst_schedule(members: Sequence[Member]) -> list[tuple[str, float]]:
    """Return who runs on one worker, and for which part of the budget, if all but the quick ones use all they may."""
    waiting, ended, left, schedule = list(members), set[str](), 1.0, []
    labels = {member.label for member in members}
    while waiting and left > 0:
        member = next(member for member in waiting if not set(member.after) & labels - ended)
        waiting.remove(member)
        ended.add(member.label)
        name = EntrySpec.parse(member.entry).name
        part = 0.0 if name in QUICK else min(left, member.share)
        left -= part
        schedule.append((name, part))
    return schedule


@pytest.mark.parametrize("n", NODES)
def test_no_member_of_default_keeps_all_others_from_starting(n: int, instances: dict[int, Instance]) -> None:
    for stages in STAGES[1:]:
        where = f"n = {n}, k = {stages}"
        members = registry.create("default").members(Problem(instance=instances[n], stages=stages), 1)
        lasting = [member for member in members if EntrySpec.parse(member.entry).name not in QUICK]
        unlimited = [i for i, member in enumerate(lasting) if member.share == 1]
        assert unlimited, f"nobody uses the rest of the time at {where}"
        limited = [member.label for i, member in enumerate(lasting) if member.share < 1 and i > unlimited[0]]
        assert not limited, f"{lasting[unlimited[0]].label} has no share and comes before {limited} at {where}"
        parts = worst_schedule(members)
        # Who only bounds, only partitions, or both, but the program that either ends early or not at all.
        others = [(registry.get(name).features, part) for name, part in parts if name != "ideal-dp"]
        for feature in (Feature.DUAL, Feature.PRIMAL):
            time = sum(part for features, part in others if feature in features)
            assert time >= LEAST_PART, f"{feature} makers but ideal-dp get {time:.2f} of the time at {where}"

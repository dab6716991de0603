"""Groups of entries follow from the members of portfolios and from what entries say of themselves."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from framework import registry as registry_module
from framework.bounds import Outcome, Reason, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import Kind, Registry, load_plugins, register_formulation, registry
from framework.report import groups, listings
from framework.report.methods_page import methods_page
from tests.conftest import REPOSITORY

load_plugins()
BUILT_IN = [entry for kind in (Kind.FORMULATION, Kind.STRATEGY) for entry in registry.entries(kind)]


def test_what_a_portfolio_runs_is_in_its_group() -> None:
    found = {entry.name: group.title for group in groups.grouped(BUILT_IN) for entry in group.entries}
    assert found["core-fluid"] == found["slice-graph"] == found["cp-sat"] == "in `default`"
    assert found["guess-bottleneck"] == found["brkga-10000"] == "in `paper`"
    assert found["benders"] == "to study, in no portfolio"
    assert registry.portfolios_of("slice-graph") == ("default", "paper")
    # Driven by `bisection` or `merged`, whether or not a row names it.
    assert "default" in registry.portfolios_of("nested-cuts")


def test_every_built_in_entry_is_in_a_portfolio_or_says_what_it_is_good_for() -> None:
    for entry in BUILT_IN:
        if entry.factory.__module__.startswith(("formulations", "strategies")):
            assert bool(entry.purpose) != bool(registry.portfolios_of(entry.name)), entry.name


def test_figures_of_purposes_are_measured() -> None:
    measured = (REPOSITORY / "docs" / "measurements.md").read_text(encoding="utf-8")
    figures = {figure for entry in BUILT_IN for figure in re.findall(r"\d\.\d{3,}", entry.purpose)}
    assert len(figures) > 5
    assert not {figure for figure in figures if figure not in measured}


def test_the_list_and_the_page_show_groups_and_purposes(capsys: pytest.CaptureFixture[str]) -> None:
    rows = listings.listings(["formulations"])["formulations"]
    titles = [row["group"] for row in rows]
    assert list(dict.fromkeys(titles))[:3] == ["in `default`", "in `paper`", "to study, in no portfolio"]
    assert titles == sorted(titles, key=list(dict.fromkeys(titles)).index)
    listings.print_listings({"formulations": rows})
    shown = capsys.readouterr().out
    assert "formulations in `default`" in shown
    assert "formulations to study, in no portfolio" in shown
    assert "Use: a yardstick" in shown
    page = methods_page()
    assert "**Formulations and strategies in `default`**" in page
    assert "Run by `default` and `paper`." in page
    assert f"Use: {registry.get('lp').purpose}." in page


def test_an_entry_that_says_nothing_is_in_no_portfolio(monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = Registry()
    monkeypatch.setattr(registry_module, "registry", fresh)
    monkeypatch.setattr(groups, "registry", fresh)

    @register_formulation("mine", features=[Feature.DUAL], summary="mine")
    @dataclass(frozen=True, slots=True, kw_only=True)
    class Mine:
        def bound(self, problem: Problem, context: Context) -> Outcome:
            return Outcome(termination=Termination(reason=Reason.FINISHED))

    (group,) = groups.grouped(fresh.entries())
    assert (group.title, [entry.name for entry in group.entries]) == ("in no portfolio", ["mine"])

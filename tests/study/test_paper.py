"""The page on the paper's experiment on all graphs: what it takes from a study, and what from the records."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from framework.report.records.breakdown import by_size, by_width, standing_table
from framework.report.records.hardest import GraphFacts, facts_of, hardest, reason
from framework.report.records.rows import RecordRow
from framework.study.analysis.report import StudyReport, make_report
from framework.study.plan import PlannedRun
from framework.study.spec import read_spec
from framework.study.task import Finished
from framework.testing.studies import made_up_result, made_up_run
from tests.conftest import REPOSITORY, module_of
from tests.study.conftest import StoreOf

GRAPHS = ("squeezenet", "vgg19", "resnet50")


@pytest.fixture(scope="module")
def pages() -> ModuleType:
    return module_of(REPOSITORY / "scripts" / "paper_pages.py")


@pytest.fixture
def report(store_of: StoreOf) -> StudyReport:
    """A study of three graphs in two stages: the paper's methods ran on two, with more time on one, and one is due."""
    cases: list[tuple[PlannedRun, Finished | None]] = []
    duals = {"default": 1000, "simple": 500, "paper": 800, "paper, 300 s": 900}
    for label, graphs in (("default", 3), ("simple", 2), ("paper", 2), ("paper, 300 s", 1)):
        for graph in GRAPHS[:graphs]:
            run = made_up_run(graph, 2, label, nodes=200)
            steps = [(0.1, duals[label] - (100 if graph == "resnet50" else 0), 1000, label)]
            cases.append((run, made_up_result(run, simple=500, trajectory=steps, seconds=1.0)))
    cases.append((made_up_run("resnet50", 2, "paper", nodes=200), None))
    return make_report(store_of(cases))


def test_entries_are_compared_on_the_graphs_that_all_of_them_ran_on(pages: ModuleType, report: StudyReport) -> None:
    text, shown = pages.full_page(report, [], "figures/none")
    lines = text.splitlines()
    assert "| all 3 graphs | 2 | 0.5000 | - | - | 0.9655 | 14.49 | 67% |" in lines
    assert "| 2 of them | 2 | 0.5000 | 0.8000 | 2.50 | 1.0000 | closed | 100% |" in lines
    assert "| 1 of them, `paper` with 300 s | 2 | 0.5000 | 0.9000 | 5.00 | 1.0000 | closed | 100% |" in lines
    assert "- `paper`: 2 of 3 runs of the study." in lines
    assert "## All entries on 2 graphs" in lines
    assert {row.label for group in shown.stages for row in group.summaries} == {"default", "simple", "paper"}
    assert [line for line in lines if line.startswith("| resnet50 | 2 | 200 | 0.9000 | ")]


def test_records_stand_for_the_runs_of_default(pages: ModuleType) -> None:
    facts: dict[str, Any] = {"graph": "squeezenet", "family": "f", "task": "vision", "nodes": 66}
    ticks = pages.simple_ticks("squeezenet")
    rows = [
        RecordRow(**facts, stages=2, state="optimal", ratio=1.0, bottleneck_ticks=2 * ticks[2], longest=10.0),
        RecordRow(**facts, stages=4, state="missing"),
    ]
    text, shown = pages.full_page(None, rows, "figures/none")
    assert shown is None
    assert "| all 1 graphs | 2 | 0.5000 | - | - | 1.0000 | closed | 100% |" in text.splitlines()
    assert "- `default`: 1 of 2 pairs, from the [records](records.md). Runs were on one core, a few of" in text
    assert " of a member of `default` alone. The longest run of a pair took" in text
    assert "The study itself has not been started" in text
    assert "has not been started" in pages.full_page(None, [], "figures/none")[0]


def test_the_spec_of_all_graphs_draws_samples(pages: ModuleType) -> None:
    choices = read_spec(REPOSITORY / "studies" / "paper-full.toml").entries
    assert {choice.label: choice.most_graphs for choice in choices}[pages.OURS] is None
    assert [(choice.most_graphs, choice.budgets) for choice in choices if choice.label == pages.THEIRS] == [
        (200, (10.0,))
    ]
    assert [(choice.most_graphs, choice.budgets) for choice in choices if choice.label == pages.LONGER] == [
        (24, (300.0,))
    ]


def test_pairs_are_grouped_by_class() -> None:
    facts: dict[str, Any] = {"family": "f", "task": "t", "stages": 2}
    rows = [
        RecordRow(**facts, graph="squeezenet", nodes=100, state="optimal", ratio=1.0),
        RecordRow(**facts, graph="vgg19", nodes=101, state="open", ratio=0.25),
        RecordRow(**facts, graph="resnet50", nodes=9999, state="missing"),
    ]
    assert [(title, len(group)) for title, group in by_size(rows)] == [
        ("1 to 100", 1),
        ("101 to 300", 1),
        ("3,001 and more", 1),
    ]
    assert [(title, {row.graph for row in group}) for title, group in by_width(rows)] == [
        ("1", {"vgg19"}),
        ("2 to 4", {"squeezenet", "resnet50"}),
    ]
    assert standing_table("all", [("x", rows)]).splitlines()[-1] == "| x | 3 | 3 | 1 | 1 | 1 | 1 | 0.5000 |"


def test_the_hardest_pairs_come_first_with_a_reason() -> None:
    facts: dict[str, Any] = {"family": "f", "task": "t", "nodes": 9, "graph": "squeezenet"}
    rows = [
        RecordRow(**facts, stages=k, state="optimal" if quotient == 1 else "open", ratio=quotient)
        for k, quotient in ((2, 1.0), (4, 0.9), (8, 0.8), (16, None))
    ]
    assert [row.stages for row in hardest(rows)] == [8, 4]
    assert [row.stages for row in hardest(rows, 1)] == [8]
    few = facts_of("squeezenet")
    assert few.complete
    assert not facts_of("squeezenet", max_ideals=2).complete
    assert f"{few.ideals:,} ideals at a width of {few.width}; " in reason(few, 10 * few.heaviest)
    hard = GraphFacts(nodes=9, width=5, ideals=1000, complete=False, transfers=2.0, streaming=0.5, heaviest=60)
    assert reason(hard, 100) == (
        "more than 1,000 ideals at a width of 5; sending each tensor once costs 200% of all work; one node takes 60% of"
        " the bottleneck; streaming what one stage cannot hold costs 50% of all work."
    )

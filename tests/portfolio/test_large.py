"""Large instances: presolve has a part of the time only, and the first member does not wait for it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from framework.bounds import Limit, Reason
from framework.model.instance import Instance
from framework.model.problem import Problem
from framework.portfolio import runner as runner_module
from framework.portfolio.members import Member, RunRecord
from framework.portfolio.result import json_text
from framework.portfolio.run_options import RunOptions
from framework.portfolio.runner import PRESOLVE, Runner
from framework.registry import load_plugin_file, load_plugins
from framework.testing.instances import random_layered_instance

FAULTY = str(Path(__file__).parent.parent / "plugins" / "faulty.py")
MEMBERS = (Member(entry="slice-graph"), Member(entry="simple", after=("slice-graph",)))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Instance, int], RunRecord]:
    """Run slicing and one member more on an instance that counts as large from so many nodes on."""

    def start(instance: Instance, large: int) -> RunRecord:
        load_plugins()
        load_plugin_file(FAULTY)
        monkeypatch.setattr(runner_module, "LARGE_NODES", large)
        options = RunOptions(started=time.monotonic(), budget=60.0, workers=2)
        runner = Runner(Problem(instance=instance, stages=4), MEMBERS, options)
        record = runner.run()
        assert not runner.board.rejected
        assert not runner.board.contradictions
        assert runner.board.incumbent is not None
        return record

    return start


def test_the_first_member_works_on_both_instances(run: Callable[[Instance, int], RunRecord]) -> None:
    instance = random_layered_instance(3, 200, width=4)
    record = run(instance, 100)
    assert record.reduced is not None
    assert record.reduced.n < instance.n
    names = [member.name for member in record.members]
    assert sorted(names) == sorted([PRESOLVE, "slice-graph (unreduced)", "slice-graph", "simple"])
    assert all(member.termination.reason is not Reason.FAULT for member in record.members)


def test_small_instances_wait_for_presolve(run: Callable[[Instance, int], RunRecord]) -> None:
    record = run(random_layered_instance(3, 200, width=4), 201)
    assert [member.name for member in record.members] == [PRESOLVE, "slice-graph", "simple"]


def test_nothing_is_done_twice_where_nothing_was_reduced(run: Callable[[Instance, int], RunRecord]) -> None:
    once = run(random_layered_instance(3, 200, width=4), 201).reduced
    assert once is not None
    record = run(once, once.n)
    assert record.reduced is not None
    assert record.reduced.n == once.n
    assert sorted(member.name for member in record.members) == sorted([PRESOLVE, "slice-graph (unreduced)", "simple"])


def test_long_lists_are_one_line_of_a_result() -> None:
    document = {"name": 'a "line\nbreak"', "nested": {"a": [1, {"b": None}], "c": []}, "stage_of": list(range(10_000))}
    text = json_text(document)
    assert json.loads(text) == document
    assert len(text.splitlines()) < 20
    short = {**document, "stage_of": [0, 1, 2]}
    assert json_text(short) == json.dumps(short, indent=1)


@pytest.mark.parametrize(("large", "kept"), [(1, runner_module.LARGEST_END_SHARE), (10**6, 0.0)])
def test_large_instances_keep_a_part_of_the_budget_for_the_end(
    large: int, kept: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner_module, "LARGE_NODES", large)
    monkeypatch.setattr(runner_module, "END_FACTOR", 10**9)
    monkeypatch.setattr(runner_module, "START_FACTOR", 0)
    options = RunOptions(started=time.monotonic(), budget=60.0, presolve=False)
    runner = Runner(Problem(instance=random_layered_instance(3, 20), stages=4), (), options)
    runner.run()
    assert runner.deadline == pytest.approx(options.started + (1 - kept) * options.budget)


def test_no_member_is_started_on_a_large_instance_without_time_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    load_plugins()
    monkeypatch.setattr(runner_module, "LARGE_NODES", 1)
    monkeypatch.setattr(runner_module, "START_FACTOR", 10**9)
    options = RunOptions(started=time.monotonic(), budget=60.0, presolve=False)
    runner = Runner(Problem(instance=random_layered_instance(3, 20), stages=4), MEMBERS, options)
    record = runner.run()
    assert record.termination.limit is Limit.TIME
    assert not record.members
    assert runner.board.incumbent is not None
    assert runner.board.dual is not None

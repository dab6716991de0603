"""Portfolios as tables and as lists: what they mean, and what is said about mistakes in them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framework.cli import app
from framework.contracts import Feature
from framework.errors import UserError
from framework.model.instance import instance_from_lists
from framework.model.problem import Problem
from framework.portfolio import portfolio_file
from framework.portfolio.portfolio_file import Range, load_entries, load_portfolio_file, parse_portfolios
from framework.portfolio.solve import portfolio_members
from framework.registry import registry, split_entries
from framework.study.plan import make_plan
from framework.study.spec import read_spec
from framework.testing.studies import made_up_folder

load_entries()


@pytest.fixture(autouse=True)
def no_other_test_sees_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what a test registers: others look at all portfolios there are."""
    monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    monkeypatch.setattr(portfolio_file, "_registered", dict(portfolio_file._registered))


TABLE = """
[two-ranges]
[[two-ranges.members]]
entry = "slice-graph"
[[two-ranges.members]]
entry = "ideal-dp:max_ideals=9"
name = "dp"
after = ["slice-graph"]
share = 0.5
max_nodes = 3
[[two-ranges.members]]
entry = "simple"
name = "dp"
min_nodes = 4
min_stages = 2
max_stages = 2
[[two-ranges.members]]
entry = "cp-sat"
after = ["dp"]
space = "original"
threads = 2
"""


def problem(nodes: int, stages: int) -> Problem:
    return Problem(instance=instance_from_lists([1] * nodes, []), stages=stages)


def row(text: str) -> str:
    return f'[mine]\n[[mine.members]]\nentry = "slice-graph"\n[[mine.members]]\n{text}\n'


def read_all(text: str) -> None:
    for table in parse_portfolios(text, "p.toml"):
        table.check_entries()


def test_a_table_says_who_runs_on_what() -> None:
    (table,) = parse_portfolios(TABLE, "p.toml")
    table.check_entries()
    chosen = {
        size: [(member.label, member.after) for member in table.members(problem(*size))]
        for size in ((3, 2), (4, 2), (4, 3))
    }
    first, last = ("slice-graph", ()), ("cp-sat", ("dp",))
    assert chosen[3, 2] == [first, ("dp", ("slice-graph",)), last]
    assert chosen[4, 2] == [first, ("dp", ()), last]
    assert chosen[4, 3] == [first, ("cp-sat", ())]
    member = table.members(problem(3, 2))[2]
    assert (member.space, member.threads, member.share) == ("original", 2, 1.0)


def test_ranges_may_have_no_upper_end() -> None:
    assert 10**12 in Range(least=301)
    assert 300 not in Range(least=301)
    assert 3 in Range(least=3, most=3)
    assert 4 not in Range(least=3, most=3)
    assert Range(least=4).meets(Range(least=1, most=4))
    assert not Range(least=5).meets(Range(least=1, most=4))
    assert not Range(least=1, most=4).meets(Range(least=5))


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            row('entry = "simple"\nafter = ["slice-grpah"]'),
            "mine.members[1].after[0]: no row before this one is",
        ),
        (row('entry = "simple"\nafter = ["slice-grpah"]'), "did you mean slice-graph?"),
        (row('entry = "simple"\nafter = ["simple"]'), "no row before this one is 'simple'"),
        (
            row('entry = "simpel"'),
            "mine.members[1].entry: nothing is registered as 'simpel' (did",
        ),
        (row('entry = "bisection:over=mien"'), "nothing is registered as 'mien'"),
        (row('entry = "paper"'), "p.toml: mine.members[1].entry: paper is a portfolio itself"),
        (
            row('entry = "simple"\nshrae = 0.5'),
            "mine.members[1].shrae: there is no such key (did you mean share?)",
        ),
        (row('entry = "simple"\nshare = 0'), "p.toml: mine.members[1].share: 0 is no share"),
        (row('entry = "simple"\nshare = 1.5'), "p.toml: mine.members[1].share: 1.5 is no share"),
        (row('entry = "simple"\nshare = "all"'), 'p.toml: mine.members[1].share: "all" is no number'),
        (row('entry = "simple"\nmax_gap = 5'), "p.toml: mine.members[1].max_gap: 5 is no relative gap"),
        (row('entry = "simple"\nmin_gap = 0.5\nmax_gap = 0.1'), "max_gap: 0.1 is less than min_gap = 0.5"),
        (row('entry = "simple"\nafter = ["slice-graph"]\ninline = true'), "mine.members[1].inline: a member that runs"),
        (row('entry = "simple"\nthreads = 1.5'), "p.toml: mine.members[1].threads"),
        (row('entry = "simple"\nspace = "orginal"'), "p.toml: mine.members[1].space"),
        (row('entry = "simple"\nnodes = [0, 300]'), "p.toml: mine.members[1].nodes: there is no such key"),
        (row('entry = "simple"\nmin_nodes = 3\nmax_nodes = 2'), "members[1].max_nodes: 2 is less than min_nodes = 3"),
        (row('entry = "simple"\nmin_stages = 0'), "members[1].min_stages: 0 is no integer of at least 1"),
        (row('entry = "slice-graph"\nmin_nodes = 9'), "'slice-graph' is the name of members[0] too"),
        (row(""), "p.toml: mine.members[1].entry: is missing"),
        ("[mine]\nsummary = 'x'", "p.toml: mine.members: is missing"),
        ("[mine]\nmembers = []", "p.toml: mine.members: the list is empty"),
        (
            "[mine]\nfeatures = ['daul']\nmembers = [{ entry = 'simple' }]",
            "mine.features[0]: 'daul' is no feature",
        ),
        ("[mine]\nmember = [{ entry = 'simple' }]", "p.toml: mine.members: is missing"),
        ("mine = 3", "p.toml: mine: 3 is no table"),
        ("", "p.toml: holds no portfolio"),
        ("[mine", "p.toml: not a TOML file"),
    ],
)
def test_a_mistake_is_named_with_file_row_and_key(text: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        read_all(text)
    assert what in str(caught.value)


def test_a_file_registers_its_portfolios_once(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text(TABLE.replace("two-ranges", "of-a-file"))
    assert load_portfolio_file(path) == ("of-a-file",)
    assert load_portfolio_file(path) == ("of-a-file",)
    entry = registry.get("of-a-file")
    assert entry.features == {Feature.DUAL, Feature.PRIMAL, Feature.EXACT, Feature.ANYTIME}
    assert [member.label for member in portfolio_members("of-a-file", problem(4, 3), 1)] == ["slice-graph", "cp-sat"]
    other = tmp_path / "other.toml"
    other.write_text("[default]\nmembers = [{ entry = 'simple' }]")
    with pytest.raises(UserError, match=r"other\.toml: default: the name 'default' is taken by strategies\.portfolios"):
        load_portfolio_file(other)


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("simple", ("simple",)),
        ("simple, anchored-cut,cp-sat", ("simple", "anchored-cut", "cp-sat")),
        ("ideal-dp:max_ideals=3,x=4,cp-sat", ("ideal-dp:max_ideals=3,x=4", "cp-sat")),
        ("bisection:over=[cp-sat:a=1,b=2],simple:x=1", ("bisection:over=[cp-sat:a=1,b=2]", "simple:x=1")),
    ],
)
def test_a_list_is_split_at_the_commas_between_entries(text: str, entries: tuple[str, ...]) -> None:
    assert split_entries(text) == entries


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("simple,over=cp-sat", "'over=cp-sat' is a parameter of no entry"),
        ("simple,", "an entry has no name"),
        ("simple,simple", "simple is there twice"),
        ("simple,default", "default is a portfolio itself"),
        ("simple,cp-sta", "did you mean cp-sat"),
        ("simple,ideal-dp:max_ideas=3", "ideal-dp has no parameter 'max_ideas'"),
    ],
)
def test_a_wrong_list_is_refused(text: str, what: str) -> None:
    with pytest.raises(UserError) as caught:
        portfolio_members(text, problem(3, 2), 1)
    assert what in str(caught.value)


def run(*arguments: str) -> object:
    done = CliRunner().invoke(app, arguments, catch_exceptions=True)
    if isinstance(done.exception, UserError):
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


def member_names(result: object) -> list[str]:
    assert isinstance(result, dict)
    return sorted(member["name"] for member in result["members"] if member["name"] != "presolve")


def test_the_commands_run_a_portfolio_of_ones_own(tmp_path: Path) -> None:
    made_up_folder(tmp_path)
    graph, file = str(tmp_path / "braid-0.graph.json"), tmp_path / "mine.toml"
    file.write_text("[few]\nmembers = [{ entry = 'tensor-count' }, { entry = 'simple', max_stages = 2 }]")
    # Without presolve nothing has to be compiled.
    task = (graph, "-k", "2", "--no-presolve", "--json")
    solved = run("solve", *task, "--portfolio", str(file))
    assert member_names(solved) == ["simple", "tensor-count"]
    solved = run("solve", *task, "--with", "simple,tensor-count")
    assert member_names(solved) == ["simple", "tensor-count"]
    rows = run("compare", *task, "few", "simple,tensor-count", "--portfolio", str(file))
    assert "few" in str(rows)
    assert "simple,tensor-count" in str(rows)
    listed = run("list", "portfolios", "--portfolio", str(file), "--json")
    assert "few" in str(listed)


def test_a_wrong_choice_of_portfolio_is_one_line(tmp_path: Path) -> None:
    made_up_folder(tmp_path)
    graph, file = str(tmp_path / "braid-0.graph.json"), tmp_path / "several.toml"
    file.write_text(
        "[large-only]\nmembers = [{ entry = 'simple', min_nodes = 99 }]\n[b2]\nmembers = [{ entry = 'simple' }]"
    )
    assert "there are the portfolios large-only, b2 (choose one with --with NAME)" in str(
        run("solve", graph, "-k", "2", "--portfolio", str(file))
    )
    assert "large-only has no member for 2 stages and" in str(
        run("solve", graph, "-k", "2", "--portfolio", str(file), "--with", "large-only")
    )
    assert "large-only has no member for 1 stage and" in str(
        run("recommend", graph, "--portfolio", str(file), "--with", "large-only")
    )
    assert "portfolios stand in a .toml file" in str(run("solve", graph, "-k", "2", "--portfolio", "mine.py"))
    assert "no such file" in str(run("solve", graph, "-k", "2", "--portfolio", str(tmp_path / "absent.toml")))


def test_a_study_takes_files_of_portfolios_and_lists(tmp_path: Path) -> None:
    made_up_folder(tmp_path)
    spec, file = tmp_path / "study.toml", tmp_path / "own.toml"
    file.write_text("[of-a-study]\nmembers = [{ entry = 'simple' }]")
    text = 'graphs = ["braid-0.graph.json"]\nstages = [2]\nentries = ["of-a-study", "simple,slice-graph"]\n[run]\n'
    spec.write_text(text + 'portfolios = ["own.toml"]')
    plan = make_plan(read_spec(spec))
    assert [run.choice.entry for run in plan.runs] == ["of-a-study", "simple,slice-graph"]
    listed = json.loads(plan.runs[1].parameters)["members"]
    assert [member["name"] for member in listed] == ["simple", "slice-graph"]
    file.write_text("[of-a-study]\nmembers = [{ entry = 'slice-graph' }]")
    assert {run.key for run in make_plan(read_spec(spec)).runs}.isdisjoint(run.key for run in plan.runs)
    spec.write_text(text + 'plugins = ["own.toml"]')
    with pytest.raises(UserError, match=r"run\.plugins\[0\]: own\.toml is of the wrong kind"):
        read_spec(spec)

"""Names that a terminal, LaTeX, a spreadsheet or a browser would obey, through every command and export."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import pytest

from framework.report.escape import html, latex, terminal
from tests.cli.conftest import Run

NAME = "[/red]$x_1$\x1b[31m|<b>`\u202eÜ\n\\input{y}%:smile:"
UNIT = r"\write18{id}[/u]$"
NODES = ["[/red]", "=cmd()", "$\\frac$"]
REMARK = "[/nope] \x1b]0;title\x07"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    nodes = [{"name": name, "op": "[/x]", "work": 3 + v, "parameter_cost": 1 + v} for v, name in enumerate(NODES)]
    document = {
        "format": "pipebound-graph",
        "version": 1,
        "name": NAME,
        "cost_unit": UNIT,
        "remarks": [REMARK],
        "nodes": nodes,
        "tensors": [{"producer": 0, "cost": 1, "consumers": [1, 2]}, {"producer": 1, "cost": 1, "consumers": [2]}],
    }
    path = tmp_path / "net [v2] [red].graph.json"
    path.write_text(json.dumps(document))
    return path


def assert_shown(done: subprocess.CompletedProcess[str], *texts: str) -> None:
    output = done.stdout
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for text in texts:
        assert terminal(text) in output
    assert "\x1b" not in output
    assert "\u202e" not in output


def test_commands_on_one_graph_show_names_as_they_are(pipebound: Run, hostile: Path, tmp_path: Path) -> None:
    file = hostile.name
    solved = pipebound(
        "solve", file, "-k", "2", "--with", "ideal-dp", "--budget", "20s", "-o", "r.json", "--plot", "r.svg"
    )
    assert_shown(solved, NAME, UNIT, REMARK)
    assert html(UNIT) in (tmp_path / "r.svg").read_text()
    verified = pipebound("verify", "r.json")
    # A bound of `ideal-dp` has no certificate: 4 says that it is not checked.
    assert verified.returncode == 4, verified.stderr
    assert UNIT in verified.stdout
    compared = pipebound("compare", file, "ideal-dp", "simple", "-k", "2", "--budget", "20s")
    assert_shown(compared, NAME, UNIT, REMARK, "not improved (start)")
    inspected = pipebound("inspect", file, "--plot", "g.svg")
    assert_shown(inspected, NAME, file, REMARK, *NODES)
    drawn = (tmp_path / "g.svg").read_text()
    assert all(html(name).replace("&quot;", '"') in drawn for name in NODES)
    recommended = pipebound("recommend", file, "-k", "1..2", "--with", "ideal-dp", "--budget", "20s")
    assert_shown(recommended, NAME, UNIT, REMARK)


def test_errors_are_one_line_that_shows_the_name(pipebound: Run, hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "x[x]\x1b[2J.json").write_text("{")
    for arguments in (
        ("solve", "x[x]\x1b[2J.json", "-k", "2"),
        ("solve", hostile.name, "-k", "2", "--no-cut", "[/x]\x1b[2J"),
        ("inspect", "missing [x]\x1b[2J"),
        ("check", "no[/x]\x1b[2J"),
    ):
        done = pipebound(*arguments)
        assert done.returncode == 2
        assert done.stderr.count("\n") == 1
        assert r"x]\x1b[2J" in done.stderr
        assert "\x1b" not in done.stderr


def test_a_stream_without_an_encoding_for_a_name_gets_its_number(
    pipebound_process: Run, hostile: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = pipebound_process("inspect", hostile.name)
    assert done.returncode == 0, done.stderr
    assert r"\xdc" in done.stdout


def test_studies_show_and_export_names_as_they_are(pipebound: Run, hostile: Path, tmp_path: Path) -> None:
    graph = json.dumps({"path": hostile.name}).replace('"path":', "path =")
    (tmp_path / "s.toml").write_text(
        f"name = {json.dumps(NAME)}\ndescription = {json.dumps('[/d] % $')}\nstore = 's.sqlite'\n"
        f"graphs = [{graph}]\nstages = [2]\nbudgets = ['20s']\nentries = ['simple', 'ideal-dp']\n"
        "[run]\nworkers = 1\n"
    )
    ran = pipebound("study", "run", "s.toml", "--no-warm")
    assert ran.returncode == 0, ran.stderr
    assert terminal(NAME) in ran.stderr
    assert "\x1b" not in ran.stderr
    assert_shown(pipebound("study", "status", "s.toml"), NAME)
    reported = pipebound(
        "study", "report", "s.toml", "--html", "p.html", "--latex", "t.tex", "--figures", "f", "--formats", "svg"
    )
    assert_shown(reported, NAME)
    page = (tmp_path / "p.html").read_text()
    assert f"<h1>{html(NAME)}</h1>" in page
    assert latex(NAME) in (tmp_path / "t.tex").read_text()
    exported = pipebound("study", "export", "s.toml", "runs.csv", "--results", "results")
    assert "2 rows in runs.csv" in exported.stderr
    with (tmp_path / "runs.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["graph"] for row in rows] == [NAME] * 2
    assert len(list((tmp_path / "results").glob("*.json"))) == 2

"""What commands show: versions, nodes of stages, plots, counts, widths."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import framework
from framework.formats import read_graph
from framework.model.device import load_device
from framework.portfolio.records import Status
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.report.tables import print_results
from tests.cli.conftest import Run


def test_the_version_costs_no_import() -> None:
    code = (
        "import sys; sys.argv = ['pipebound', '--version']; from framework.__main__ import main; main();"
        "print(sorted({'typer', 'rich', 'numpy', 'framework.cli'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"pipebound {framework.__version__}\n[]\n"


def test_the_version_is_an_option_that_help_shows(pipebound_process: Run) -> None:
    assert pipebound_process("--version").stdout == f"pipebound {framework.__version__}\n"
    assert "--version" in pipebound_process("--help").stdout
    done = pipebound_process("--max-input", "1GB", "--version")
    assert (done.returncode, done.stdout) == (0, f"pipebound {framework.__version__}\n")


def test_solve_lists_the_nodes_of_each_stage(pipebound: Run, graph_file: Path, tmp_path: Path) -> None:
    arguments = ("solve", graph_file, "-k", "1", "-k", "2", "--with", "ideal-dp", "--budget", "60s", "-o", "r.json")
    few = pipebound(*arguments, "--nodes").stdout
    assert "nodes of the stages, k = 1" in few
    assert "v0, v1, v2, v3, v4, v5, v6 and 5 more" in few
    everything = pipebound(*arguments, "--all-nodes").stdout
    assert ", ".join(f"v{v}" for v in range(12)) in everything
    assert "more" not in everything.split("nodes of the stages")[1]
    stage_of = json.loads((tmp_path / "r-k2.json").read_text())["stage_of"]
    second = everything.split("k = 2")[1]
    for stage in (0, 1):
        names = ", ".join(f"v{v}" for v in range(12) if stage_of[v] == stage)
        assert names in second
    assert "nodes of the stages" not in pipebound(*arguments).stdout


def test_without_a_partition_the_unit_fits_the_bound(capsys: pytest.CaptureFixture[str]) -> None:
    graph = read_graph("testbed:squeezenet")
    done = solve(graph, 4, settings=Settings(device=load_device("reference"), entry="simple", budget=20.0))
    empty = replace(
        done,
        incumbent=None,
        incumbent_ticks=None,
        stage_of=None,
        stage_costs=(),
        relative_gap=None,
        ratio=None,
        status=Status.TIME_LIMIT,
        incumbent_source=None,
    )
    print_results([empty])
    shown = capsys.readouterr().out
    assert "values in us" in shown
    assert f"{1e6 * (done.dual_bound or 0.0):.6g}" in shown


@pytest.mark.parametrize("width", ["40", "60", "80"])
def test_every_number_is_whole_in_a_narrow_terminal(
    graph_file: Path, tmp_path: Path, pipebound: Run, width: str
) -> None:
    solve = ("solve", graph_file, "-k", "3", "--with", "ideal-dp", "--budget", "60s", "-o", "r.json")
    assert pipebound(*solve).returncode == 0
    code = (
        "from framework.portfolio.reading import read_result\n"
        "from framework.report.tables import print_results\n"
        "print_results([read_result('r.json')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": width},
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= int(width)
    result = json.loads((tmp_path / "r.json").read_text())
    words = done.stdout.split()
    for value in (result["dual_bound"], result["incumbent"], *(row["total"] for row in result["stage_costs"])):
        assert f"{value:.6g}" in words


def test_recommend_draws_what_it_found(pipebound: Run, graph_file: Path, tmp_path: Path) -> None:
    arguments = ("recommend", graph_file, "-k", "1..3", "--with", "ideal-dp", "--budget", "60s")
    done = pipebound(*arguments, "--plot", "r.svg")
    assert done.returncode == 0, done.stderr
    drawn = (tmp_path / "r.svg").read_text()
    for text in ("bottleneck [ms]", "number of stages", "best partition", "no partition is below", "knee", "braid"):
        assert f">{text}</text>" in drawn
    refused = pipebound(*arguments, "--plot", "r.bmp")
    assert refused.returncode == 2
    assert "end the name in" in refused.stderr


def test_counts_agree_with_their_nouns(pipebound: Run, graph_file: Path) -> None:
    done = pipebound("solve", graph_file, "-k", "1", "--with", "ideal-dp", "--budget", "60s")
    assert "no partition into 1 stage has" in done.stdout
    listed = pipebound("testbed", "list", "--family", "inception_v1", "--max-nodes", "200")
    assert "1 graph, 1 family, 1 task area" in listed.stdout or listed.returncode == 2

"""A format that a plugin brings is read, chosen and listed as the built-in ones are, without another edit."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent

import pytest
from typer.testing import CliRunner

from framework.cli import app
from framework.errors import UserError
from framework.formats import Format, ReadOptions, detect, format, formats, read_graph, register_format
from framework.registry import load_plugin_file, load_plugins
from tests.conftest import REPOSITORY

_PAGE = (REPOSITORY / "docs" / "formats.md").read_text(encoding="utf-8")
PLUGIN = dedent(_PAGE[_PAGE.index("    # edge_lists.py") : _PAGE.index("Then `pipebound")])
"""The example of the page."""

EDGES = "# edges\na b\nb c\na c\nc d\n"


@pytest.fixture(autouse=True)
def _without_plugins_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(format, "_plugins", {})


@pytest.fixture
def graph(tmp_path: Path) -> str:
    path = tmp_path / "a.edges"
    path.write_text(EDGES)
    return str(path)


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    path = tmp_path / "edge_lists.py"
    path.write_text(PLUGIN)
    return str(path)


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments)
    if isinstance(done.exception, UserError):
        return str(done.exception)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_plugin_file_is_enough_for_the_command_line(graph: str, plugin: str, tmp_path: Path) -> None:
    assert "of no known format" in run("inspect", graph)
    result = tmp_path / "r.json"
    entry = ("-k", "2", "--with", "simple", "--no-presolve")
    solved = json.loads(run("solve", graph, *entry, "--plugin", plugin, "-o", str(result), "--json"))
    assert (solved["graph"]["nodes"], solved["dual_bound"]) == (4, 2)
    listed = json.loads(run("list", "formats", "--plugin", plugin, "--json"))["formats"]
    assert "edge-list" in [row["name"] for row in listed]
    assert "proven" in run("verify", str(result), "--plugin", plugin, "--allow-unproven")


def test_a_plugin_package_is_enough(graph: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = tmp_path / "site"
    info = site / "edge_lists-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: edge-lists\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pipebound.plugins]\nedges = edge_lists_of_a_package\n")
    (site / "edge_lists_of_a_package.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(str(site))
    load_plugins()
    assert read_graph(graph).node_names == ("a", "b", "c", "d")


def test_the_name_of_the_format_may_be_given(tmp_path: Path, plugin: str) -> None:
    path = tmp_path / "x"
    path.write_text("anything\na b\n")
    load_plugin_file(plugin)
    assert read_graph(path, format="edge-list").topology.n == 2
    with pytest.raises(UserError, match="`dims` means nothing to a edge-list file"):
        read_graph(path, format="edge-list", dims={"N": 1})


def made(name: str, *, names_itself: bool = False) -> Format:
    return Format(
        name=name,
        description="for tests",
        patterns=(),
        sniff=lambda data: data.startswith(b'{"sourceId"'),
        parse=lambda data, path, options: pytest.fail("not parsed"),
        names_itself=names_itself,
    )


def test_a_name_is_taken_once() -> None:
    register_format(first := made("mine"))
    register_format(first)
    with pytest.raises(UserError, match="there is a format 'mine' already"):
        register_format(made("mine"))
    with pytest.raises(UserError, match="there is a format 'onnx' already"):
        register_format(made("onnx"))
    with pytest.raises(UserError, match="'My format' is no name of a format"):
        made("My format")


def test_formats_whose_files_name_them_are_asked_first() -> None:
    data = b'{"sourceId": 1}'
    assert detect(data, "x").name == "dnn-partitioning"
    register_format(made("zz-looks-alike"))
    assert detect(data, "x").name == "dnn-partitioning"
    register_format(made("zz-says-so", names_itself=True))
    assert detect(data, "x").name == "zz-says-so"
    assert [known.name for known in formats()][:2] == ["native", "zz-says-so"]


def test_options_that_say_nothing_are_not_given() -> None:
    assert ReadOptions(dims={}).given() == ()
    given = ReadOptions(dims={"N": 1}, training=True, drop_unused=True).given()
    assert given == ("dims", "training", "drop_unused")

"""`pipebound testbed`."""

from __future__ import annotations

import json
from pathlib import Path

from framework.formats import read_graph
from framework.testbed.catalogue import bundled_graphs
from tests.cli.conftest import Run


def test_list_filters(pipebound: Run) -> None:
    done = pipebound("testbed", "list", "--subset", "core", "--task", "vision", "--max-nodes", "700", "--json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    expected = [
        row.name for row in bundled_graphs() if "core" in row.subsets and row.task == "vision" and row.nodes <= 700
    ]
    assert [row["name"] for row in rows] == expected
    assert expected
    assert {"nodes", "tensors", "width", "depth", "flops", "parameters", "source", "guesses"} <= set(rows[0])


def test_list_prints_a_table_and_a_sum(pipebound: Run) -> None:
    done = pipebound("testbed", "list", "--subset", "smoke")
    assert done.returncode == 0, done.stderr
    assert "12 graphs" in done.stdout
    assert all(row.name in done.stdout for row in bundled_graphs() if "smoke" in row.subsets)
    assert pipebound("testbed", "list", "--min-nodes", "1000000").stdout.startswith("0 graphs")


def test_list_generates_regal_like(pipebound: Run) -> None:
    rows = json.loads(pipebound("testbed", "list", "--subset", "regal-like", "--family", "ws", "--json").stdout)
    assert len(rows) == 16
    assert rows[0]["sha256"] == read_graph(f"testbed:{rows[0]['name']}").named_sha256()


def test_show(pipebound: Run) -> None:
    done = pipebound("testbed", "show", "testbed:resnet50", "--json")
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    row = next(row for row in bundled_graphs() if row.name == "resnet50")
    assert facts["sha256"] == row.sha256
    assert sum(line["nodes"] for line in facts["operators"]) == row.nodes
    assert facts["operators"][0]["operator"] == "Conv"
    shown = pipebound("testbed", "show", "regal-ba-50-101").stdout
    assert "Barabasi-Albert" in shown
    assert "Conv" in pipebound("testbed", "show", "resnet50").stdout


def test_export(pipebound: Run, tmp_path: Path) -> None:
    done = pipebound("testbed", "export", "squeezenet", "regal-er-50-100", "-o", "out", "--plain")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["out/squeezenet.graph.json", "out/regal-er-50-100.graph.json"]
    for name in ("squeezenet", "regal-er-50-100"):
        exported = read_graph(tmp_path / "out" / f"{name}.graph.json")
        assert exported.sha256() == read_graph(f"testbed:{name}").sha256()
    assert len(pipebound("testbed", "export", "--subset", "smoke", "-o", "smoke").stdout.split()) == 12
    assert len(list((tmp_path / "smoke").glob("*.graph.json.gz"))) == 12


def test_testbed_names_are_graphs(pipebound: Run) -> None:
    done = pipebound("solve", "testbed:regal-ba-50-101", "-k", "2", "--budget", "5s", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["graph"]["name"] == "regal-ba-50-101"


def test_mistakes_get_one_line(pipebound: Run) -> None:
    for arguments, said in {
        ("list", "--subset", "cor"): "no subset is called 'cor' (did you mean core?)",
        ("list", "--task", "cooking"): "no graph here has the task 'cooking' (choose from ",
        ("show", "resnet5"): "no bundled graph is called 'resnet5' (did you mean resnet50",
        ("export",): "no graph is named (give names, or --subset)",
    }.items():
        done = pipebound("testbed", *arguments)
        assert done.returncode == 2
        assert said in done.stderr
        assert done.stderr.count("\n") == 1

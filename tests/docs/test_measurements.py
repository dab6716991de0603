"""The tables of docs/measurements.md are what the data files say; benchmarks have one runner."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "scripts" / "benchmarks"


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("runner")


def test_the_pages_are_current(runner: Any) -> None:
    for path in runner.PAGES:
        page = path.read_text(encoding="utf-8")
        assert runner.filled(page) == page, "run scripts/bench --page"


def test_the_results_of_the_readme_are_kept_figures(
    runner: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    section = readme.partition("\n## What it achieves\n")[2].partition("\n## ")[0]
    assert f"<!-- begin: {runner.RESULTS} -->" in section
    assert "|---" not in re.sub(r"<!-- begin: ([^>]+) -->.*?<!-- end: \1 -->", "", section, flags=re.DOTALL)
    table = runner.results()
    first = re.findall(r"\d\.\d\d s", table)[0]
    for path in runner.DATA.glob("*.json"):
        text = path.read_text(encoding="utf-8").replace(first, "9.87 s")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(importlib.import_module("results"), "DATA", tmp_path)
    assert runner.results() == table.replace(first, "9.87 s") != table


def test_short_benchmarks_are_those_of_the_readme(runner: Any) -> None:
    shown = {claim.benchmark for claim in importlib.import_module("results").CLAIMS}
    assert {spec.name for spec in runner.SPECS if spec.short} <= shown <= {spec.name for spec in runner.SPECS}


def test_every_table_of_the_page_is_in_a_block(runner: Any) -> None:
    """A table that somebody types by hand would be a figure without data."""
    page = runner.PAGE.read_text(encoding="utf-8")
    outside = re.sub(r"<!-- begin: ([^>]+) -->.*?<!-- end: \1 -->", "", page, flags=re.DOTALL)
    assert "|---" not in outside
    kept = {path.stem for path in runner.DATA.glob("*.json")}
    assert kept == {label.split()[0] for label in re.findall(r"<!-- begin: ([^>]+) -->", page)}


def test_a_changed_figure_shows(runner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = runner.PAGE.read_text(encoding="utf-8")
    for path in runner.DATA.glob("*.json"):
        text = path.read_text(encoding="utf-8").replace(".98806", ".98807")
        (tmp_path / path.name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(runner, "DATA", tmp_path)
    assert runner.filled(page) == page.replace(".98806", ".98807")
    assert runner.filled(page) != page


def test_blocks_without_figures_are_refused(runner: Any) -> None:
    for label, complaint in [("nought", "no figures"), ("tolls nought", "no table nought")]:
        with pytest.raises(SystemExit, match=complaint):
            runner.filled(f"<!-- begin: {label} -->\n<!-- end: {label} -->")
    with pytest.raises(SystemExit, match="no end"):
        runner.filled("<!-- begin: tolls -->\n")


def test_specs_name_functions_and_parameters_that_are_there(runner: Any) -> None:
    assert len({spec.name for spec in runner.SPECS}) == len(runner.SPECS)
    for spec in runner.SPECS:
        module, _, function = spec.measure.partition(":")
        tree = ast.parse((FOLDER / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8"))
        (found,) = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function]
        names = {argument.arg for argument in found.args.args}
        without_default = {
            argument.arg for argument in found.args.args[: len(found.args.args) - len(found.args.defaults)]
        }
        assert without_default <= set(spec.parameters) <= names, spec.name


def test_kept_figures_are_of_the_frozen_parameters(runner: Any) -> None:
    for path in runner.DATA.glob("*.json"):
        spec = runner.spec_of(path.stem)
        kept = runner.read_measurement(path)
        assert {name: tuple(v) if isinstance(v, list) else v for name, v in kept.parameters.items()} == spec.parameters
        assert re.match(r"\d{4}-\d{2}-\d{2}", kept.measured)
        assert kept.machine


def test_a_run_is_kept_and_read_again(runner: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = runner.Figures(name="means", columns=("a", "k"), rows=(("x | y", "1"), ("é", "2")))
    monkeypatch.setattr(runner, "measure_of", lambda spec: lambda **parameters: (table,))
    monkeypatch.setattr(runner, "DATA", tmp_path)
    spec = runner.spec_of("weave")
    runner.run(spec, spec.parameters, keep=True)
    kept = runner.read_measurement(tmp_path / "weave.json")
    assert kept.tables == (table,)
    assert "means" in (tmp_path / "weave.json").read_text(encoding="utf-8")
    assert runner.block("weave").startswith("    scripts/bench weave\n\n20")
    with pytest.raises(ValueError, match="as many cells"):
        runner.Figures(name="means", columns=("a", "k"), rows=(("x",),))


def test_where_default_is_behind(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two graphs, of the second of which the other entry knows a better bound, and of the first a cheaper partition."""
    tables = importlib.import_module("study_tables")
    data = SimpleNamespace(
        answered=np.ones(4, np.bool_),
        planned=np.ones(4, np.bool_),
        labels=["default", "cp-sat"],
        collections=["core"],
        graphs=[SimpleNamespace(name="narrow"), SimpleNamespace(name="wide")],
        label=np.array([0, 1, 0, 1]),
        collection=np.zeros(4, np.int64),
        stages=np.full(4, 2),
        graph=np.array([0, 0, 1, 1]),
        pair=np.array([0, 0, 1, 1]),
        dual=np.array([900_000, 800_000, 800_000, 900_000]),
        incumbent=np.array([1_010_000, 1_000_000, 1_000_000, 1_000_050]),
        best=np.full(4, 1_000_000),
    )
    monkeypatch.setattr(tables, "_run", lambda study: study)
    monkeypatch.setattr(tables, "read_study", lambda store: data)
    (table,) = tables.behind("ahead")
    means = ("0.8485", "0.8485")
    assert table.rows == (("core", "2", "`cp-sat`", "2", *means, "wide 0.8000 < 0.9000", "narrow 1.0100 > 1.0000"),)
    data.dual[2] = data.incumbent[0] = 1_000_000
    (table,) = tables.behind("ahead")
    assert table.rows[0][6:] == ("never", "never")


def test_parameters_are_set_by_their_types(runner: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(budget: float, stages: tuple[int, ...], graphs: int = 4) -> None: ...

    monkeypatch.setattr(runner, "measure_of", lambda spec: measure)
    spec = runner.spec_of("regal")
    set_to = runner.settings(["budget=5", "stages=2,4", "graphs=1"], spec)
    assert set_to == {"budget": 5.0, "stages": (2, 4), "graphs": 1}
    with pytest.raises(SystemExit, match="no parameter budgt; it has budget, stages, graphs"):
        runner.settings(["budgt=5"], spec)


def test_scripts_import_what_is_there() -> None:
    """Scripts are not type-checked, and most run in no test: their imports are resolved here."""
    from tests.docs.test_names import inside_project, names_in

    missing = []
    for path in sorted((REPOSITORY / "scripts").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            for name in (alias.name for alias in node.names):
                parts = [*node.module.split("."), name]
                if parts[0] in ("framework", "formulations", "strategies", "tests"):
                    there = inside_project(parts)
                else:
                    beside = [folder / f"{parts[0]}.py" for folder in (path.parent, path.parent.parent)]
                    files = [file for file in beside if file.is_file()]
                    bodies = [ast.parse(file.read_text(encoding="utf-8")).body for file in files]
                    there = any(name in set(names_in(body)) for body in bodies) if files else parts[0] != "bench"
                if not there:
                    missing.append(f"{path.relative_to(REPOSITORY)}: {'.'.join(parts)}")
    assert not missing

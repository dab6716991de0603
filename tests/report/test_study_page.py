"""What studies are shown as: the page in a real browser, figures, LaTeX, data files."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from framework.errors import UserError
from framework.report.study.export import export_results, export_table
from framework.report.study.figures import figure_names, svg, write_figures
from framework.report.study.latex import latex_table
from framework.report.study.page import page, write_page
from framework.report.study.runs import runs_json
from framework.report.study.tables import print_report, report_view
from framework.study.analysis.report import StudyReport, make_report
from framework.study.plan import Plan, PlannedRun
from framework.study.spec import RunSettings, StudySpec
from framework.study.store import Store
from framework.study.task import Finished
from framework.testing.studies import made_up_result, made_up_run

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SETTINGS = RunSettings(workers=1, gap=0.0, memory_bytes=None, attempts=3, more_stages_than_nodes=False, plugin_files=())
NASTY = 'b<script>alert("1")</script> & 50%_{x}'

PROBE = """
<script>
addEventListener("load", () => {
  const ids = [...document.querySelectorAll("[id]")].map(e => e.id);
  const boxes = [...document.querySelectorAll("figure svg")].map(e => e.getBoundingClientRect());
  const clipped = [...document.querySelectorAll("[clip-path]")].map(e => e.getAttribute("clip-path"));
  const missing = clipped.filter(c => !document.getElementById(c.slice(5, -1)));
  const used = [...document.querySelectorAll("use")].map(e => e.getAttribute("xlink:href"));
  const result = {
    figures: boxes.length,
    smallest: Math.min(...boxes.map(b => Math.min(b.width, b.height))),
    lines: document.querySelectorAll("figure svg path").length,
    duplicates: ids.length - new Set(ids).size,
    missing: missing.length + used.filter(u => !document.getElementById(u.slice(1))).length,
    loaded: performance.getEntriesByType("resource").length,
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    rows: document.querySelectorAll("tbody tr").length,
    sections: [...document.querySelectorAll("section")].map(e => e.id),
    scripts: document.querySelectorAll("script").length,
    bold: document.querySelectorAll("td.best").length,
    listed: document.querySelectorAll("#runs-rows tr").length,
    marks: document.querySelectorAll("#picture .mark").length,
    apart: new Set([...document.querySelectorAll("#picture .mark")].map(e => e.getAttribute("transform"))).size,
  };
  const cells = (column) =>
    [...document.querySelectorAll(`#runs-rows tr td:nth-child(${column})`)].map(e => e.innerText);
  const set = (id, value) => {
    document.getElementById(id).value = value;
    document.getElementById(id).dispatchEvent(new Event("input"));
  };
  const press = (column) => document.querySelector(`#runs-heads th:nth-child(${column}) button`).click();
  press(9);
  result.rising = cells(9).map(Number);
  press(9);
  result.falling = cells(9).map(Number);
  result.marked = document.querySelector("#runs-heads th:nth-child(9)").getAttribute("aria-sort");
  set("filter-text", "G3");
  result.named = [...new Set(cells(1))];
  set("filter-k", "8");
  result.both = cells(3);
  result.count = document.getElementById("runs-count").innerText;
  result.left = document.querySelectorAll("#picture .mark").length;
  set("filter-text", "no such graph");
  result.none = cells(1).length + document.querySelectorAll("#picture .mark").length;
  document.body.setAttribute("data-probe", JSON.stringify(result));
});
</script>
"""


def make(folder: Path, *, contradiction: bool = True) -> Path:
    """A store with two entries, one of which has a name that wants to break out."""
    spec = StudySpec(
        path=folder / "s.toml",
        name="page & test",
        description="for <tests>",
        store=folder / "s.sqlite",
        graphs=(),
        subsets=(),
        devices=(),
        stages=(2,),
        entries=(),
        seeds=(0,),
        run=SETTINGS,
        slurm={},
        text="",
    )
    cases: list[tuple[PlannedRun, Finished]] = []
    for g in range(12):
        for k in (2, 4, 8, 16):
            for label, quality in (("a", 0.9), (NASTY, 0.6)):
                run = made_up_run(f"g{g}", k, label, nodes=10 ** (1 + g % 4), family=f"family {g % 3}")
                dual = 1000 if label == "a" and g % 2 else int(1000 * quality) + g
                if contradiction and (g, k, label) == (3, 8, NASTY):
                    dual = 1010
                steps = [(0.0, 400, 1500, "balanced"), (0.2 + 0.1 * g, dual, 1100 if label == NASTY else 1000, "m")]
                cases.append((run, made_up_result(run, simple=400, trajectory=steps, seconds=1.0 + g)))
    store = Store(spec.store, spec)
    runs = tuple(run for run, _ in cases)
    store.set_plan(Plan(runs=runs, settings=SETTINGS, code="v1", left_out=0), spec, any_code=False)
    for run, result in cases:
        store.record(run, result, code="v1", attempts=1)
    store.close()
    return spec.store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def report(store: Path) -> StudyReport:
    return make_report(store)


def look(path: Path, folder: Path) -> dict[str, Any]:
    """Open a page in a headless browser and measure it from the inside."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    probed = folder / "probed.html"
    probed.write_text(path.read_text().replace("</body>", PROBE + "</body>"))
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1300,900"]
    command += [f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=5000", "--dump-dom", probed.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found is not None, done.stderr[-2000:]
    result: dict[str, Any] = json.loads(found[1].replace("&quot;", '"'))
    return result


def test_the_page_stands_in_a_real_browser(report: StudyReport, tmp_path: Path) -> None:
    write_page(report, tmp_path / "page.html")
    seen = look(tmp_path / "page.html", tmp_path)
    assert seen["figures"] == len(figure_names(report)) == 7
    assert seen["smallest"] > 150
    assert seen["lines"] > 100
    assert seen["duplicates"] == 0
    assert seen["missing"] == 0
    assert seen["loaded"] == 0
    assert seen["overflow"] <= 0
    assert seen["scripts"] == 3, "the data, the page's own, and the probe's"
    assert seen["sections"][0] == "contradictions"
    assert seen["sections"][1:] == ["runs", "stages", "all", "figures", "sizes", "families", "faults", "conditions"]
    # 4 numbers of stages, all, 3 sizes, 3 families and the chosen runs, two entries each; one contradiction; the runs.
    assert seen["rows"] == 2 * (4 + 1 + 3 + 3 + 1) + 1 + 96
    assert seen["bold"] > 10


def test_runs_are_sorted_filtered_and_drawn_in_a_real_browser(report: StudyReport, tmp_path: Path) -> None:
    write_page(report, tmp_path / "page.html")
    seen = look(tmp_path / "page.html", tmp_path)
    assert seen["listed"] == 96
    # Two entries in four numbers of stages, and no point hides another.
    assert seen["marks"] == seen["apart"] == 8
    assert seen["rising"] == sorted(seen["rising"])
    assert seen["falling"] == sorted(seen["rising"], reverse=True)
    assert seen["marked"] == "descending"
    assert seen["named"] == ["g3"]
    assert seen["both"] == ["8", "8"]
    assert seen["count"] == "2 of 96 runs"
    assert seen["left"] == 2
    assert seen["none"] == 0


def test_the_data_of_the_page_are_the_runs_of_the_store(report: StudyReport) -> None:
    document = json.loads(runs_json(report.data))
    assert document["entries"] == ["a", NASTY]
    assert len(document["runs"]) == 96
    data = report.data
    for i, row in enumerate(document["runs"]):
        graph, k, entry, _, dual, incumbent, best, scale, seconds, *_ = row
        assert document["graphs"][graph][0] == data.graphs[data.graph[i]].name
        assert (k, entry, dual) == (data.stages[i], data.label[i], data.dual[i])
        assert (incumbent, best) == (data.incumbent[i], data.best[i])
        assert document["scales"][scale] == [data.ticks_per_unit[i], data.unit[i]]
        assert seconds == pytest.approx(data.seconds[i], abs=1e-3)


def test_the_page_runs_its_own_script_alone_and_loads_nothing(report: StudyReport) -> None:
    text = page(report)
    assert text.count("<script") == text.count("</script") == 2
    assert "default-src 'none'" in text
    assert "b&lt;script&gt;" in text
    assert not re.search(r'(src|href)="(?!#)', text)
    assert "@import" not in text


def test_a_page_without_contradictions_says_nothing_of_them(tmp_path: Path) -> None:
    text = page(make_report(make(tmp_path, contradiction=False)))
    assert "contradiction" not in text


def test_contradictions_come_first_on_the_terminal(report: StudyReport, capsys: pytest.CaptureFixture[str]) -> None:
    print_report(report, everything=True)
    output = capsys.readouterr().out
    assert output.lstrip().startswith("1 CONTRADICTION:")
    assert output.index("CONTRADICTION") < output.index("by number of stages") < output.index("by family")


def test_figures_are_files_of_their_kind_and_the_same_each_time(report: StudyReport, tmp_path: Path) -> None:
    files = write_figures(report, tmp_path / "figures", ["svg", "pdf"])
    assert len(files) == 14
    for path in files:
        assert path.read_bytes().startswith(b"%PDF" if path.suffix == ".pdf" else b"<?xml")
    assert svg(report, "ratios").startswith("<svg ")
    assert svg(report, "ratios") == svg(report, "ratios")


def test_an_unknown_figure_format_is_said(report: StudyReport, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="choose from svg, pdf, png"):
        write_figures(report, tmp_path, ["bmp"])


def test_latex_is_escaped_and_set_with_booktabs(report: StudyReport) -> None:
    text = latex_table(report.stages, "50% & more", "tab:x")
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\caption{50\% \& more}"):
        assert rule in text
    assert r"\& 50\%\_\{x\}" in text
    assert text.count(r"\midrule") == 4
    assert r"\textbf{" in text
    body = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len({len(re.findall(r"(?<!\\)&", line)) for line in body}) == 1


def test_csv_and_parquet_hold_the_same(store: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip(
        "pyarrow.parquet", reason="pyarrow is not installed: pip install 'pipebound[parquet]'"
    )
    for table, count in (("runs", 96), ("bounds", 192), ("trajectory", 288), ("faults", 0)):
        assert export_table(store, table, tmp_path / f"{table}.csv") == count
        assert export_table(store, table, tmp_path / f"{table}.parquet") == count
        with (tmp_path / f"{table}.csv").open() as file:
            rows = list(csv.DictReader(file))
        typed = parquet.read_table(tmp_path / f"{table}.parquet").to_pylist()
        assert [{k: "" if v is None else v for k, v in row.items()} for row in typed] == [
            {k: type(typed[i][k])(v) if v else "" for k, v in row.items()} for i, row in enumerate(rows)
        ]


def test_results_are_whole_documents(store: Path, tmp_path: Path) -> None:
    assert export_results(store, tmp_path / "results") == 96
    files = list((tmp_path / "results").glob("*.json"))
    assert len(files) == 96
    assert all(json.loads(path.read_text())["format"] == "pipebound-result" for path in files)


@pytest.mark.parametrize("width", [80, 100, 150, 300])
def test_tables_fit_the_terminal_with_as_many_columns_as_it_holds(store: Path, width: int) -> None:
    from io import StringIO

    from rich.console import Console

    buffer = StringIO()
    console = Console(file=buffer, width=width, force_terminal=True, color_system=None)
    report = make_report(store)
    for group in (*report.stages, *report.overall):
        assert [row.label for row in group.summaries] == ["a", NASTY]
    console.print(report_view(report, console))
    lines = buffer.getvalue().split("by number of stages")[1].splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    heading = next(line for line in lines if "entry" in line)
    assert ("dual integral" in heading) == (width == 300)
    assert "bound / best" in heading

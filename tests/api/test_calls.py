"""What a program calls: solve, compare, recommend, verify, on graphs of every kind, with typed answers that show."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

import pipebound
from framework.portfolio.records import GraphRecord
from framework.registry import registry
from tests.results import made_result

# CP-SAT has no kernels to be compiled.
EXACT = pipebound.Settings(entry="cp-sat", workers=1, presolve=False)
SIMPLE = pipebound.Settings(entry="simple", workers=1, presolve=False)


@pytest.fixture(scope="module")
def digraph() -> nx.DiGraph[Any]:
    """A diamond with a tail, in seconds and bytes."""
    graph: nx.DiGraph[Any] = nx.DiGraph(name="diamond")
    for node, work in {"a": 1e-3, "b": 2e-3, "c": 3e-3, "d": 4e-3, "e": 2e-3}.items():
        graph.add_node(node, work=work, output_size=1e6, parameter_size=1e5)
    for producer, consumer in ("ab", "ac", "bd", "cd", "de"):
        graph.add_edge(producer, consumer)
    return graph


@pytest.fixture(scope="module")
def model(digraph: nx.DiGraph[Any]) -> pipebound.ModelGraph:
    return pipebound.from_networkx(digraph)


@pytest.fixture(scope="module")
def result(model: pipebound.ModelGraph) -> pipebound.Result:
    return pipebound.solve(model, 2, settings=EXACT)


def test_a_result_is_typed_and_printed(result: pipebound.Result) -> None:
    assert result.status is pipebound.Status.OPTIMAL
    assert result.dual_ticks == result.incumbent_ticks == result.interval.incumbent
    assert result.stage_of_name.keys() == set("abcde")
    assert repr(result).startswith("<Result diamond, k = 2: optimal, [")
    assert "Proven optimal" in str(result)
    assert "stages, in ms" in str(result)
    html = result._repr_html_()
    assert html is not None
    assert html.startswith("<pre")
    assert "Proven optimal" in html


def test_names_are_escaped_in_notebooks() -> None:
    shown = made_result(graph=GraphRecord(name="<script>alert(1)</script>", sha256="0", nodes=3))
    assert "<script>" in str(shown)
    html = shown._repr_html_()
    assert html is not None
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_it_is_json_at_the_edge_only(result: pipebound.Result, tmp_path: Path) -> None:
    assert pipebound.Result.from_json(result.to_json()) == replace(result, environment=result.environment)
    result.write(tmp_path / "result.json")
    assert pipebound.read_result(tmp_path / "result.json") == result
    with pytest.raises(pipebound.UserError, match="not a pipebound-result"):
        pipebound.Result.from_json("{}")


def test_it_is_drawn_and_tabulated(result: pipebound.Result, tmp_path: Path) -> None:
    figure = result.plot(tmp_path / "r.svg")
    assert (tmp_path / "r.svg").read_text().startswith("<?xml")
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(pipebound.UserError, match="cannot draw"):
        result.plot("r.txt")
    with pytest.raises(pipebound.UserError, match="no partition"):
        replace(result, stage_of=None).plot()


def test_data_frames_need_pandas(result: pipebound.Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(pipebound.UserError, match="pandas is not installed"):
        result.to_dataframe()
    monkeypatch.undo()
    pytest.importorskip("pandas")
    stages = result.to_dataframe()
    assert list(stages.columns) == ["stage", "nodes", "work", "in", "out", "overflow", "total"]
    assert stages["total"].max() == pytest.approx(result.incumbent)
    assert dict(result.to_dataframe("nodes").itertuples(index=False)) == result.stage_of_name
    with pytest.raises(pipebound.UserError, match="the tables are stages, nodes, bounds"):
        result.to_dataframe("node")


def test_short_reprs(model: pipebound.ModelGraph) -> None:
    assert repr(model) == "<ModelGraph diamond: 5 nodes, 4 tensors, FLOPs and bytes>"
    assert repr(pipebound.Interval(dual=3, incumbent=4)) == "<Interval [3, 4] ticks, gap 25%>"
    assert repr(pipebound.Interval(incumbent=4)) == "<Interval [-, 4] ticks>"


def test_a_graph_may_be_many_things(
    digraph: nx.DiGraph[Any], result: pipebound.Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from framework.formats.native import write_native

    path = tmp_path / "diamond.graph.json"
    simple = next(bound.value for bound in result.bounds if bound.source == "simple")
    write_native(pipebound.from_networkx(digraph), path)
    for graph in (digraph, path, str(path)):
        assert pipebound.solve(graph, 2, settings=SIMPLE).dual_bound == simple
    with pytest.raises(pipebound.UserError, match="a dict is no graph"):
        pipebound.solve({}, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize("stages", [0, -1, True, 2.0, "2", 10**9])
def test_no_number_of_stages(model: pipebound.ModelGraph, stages: Any) -> None:
    with pytest.raises(pipebound.UserError, match="is no number of stages"):
        pipebound.solve(model, stages)


@pytest.mark.parametrize(
    "settings", [{"budget": 0.0}, {"budget": float("nan")}, {"gap": -0.1}, {"workers": 0}, {"memory_bytes": 0}]
)
def test_settings_are_checked_by_name(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(pipebound.UserError, match=f"^`{name}` is "):
        pipebound.Settings(**settings)


def test_errors_speak_of_arguments(model: pipebound.ModelGraph) -> None:
    pinned = pipebound.Constraints(pins=(("e", 5),))
    with pytest.raises(pipebound.UserError, match="`stages` ends at 2"):
        pipebound.recommend(model, [1, 2], constraints=pinned)
    with pytest.raises(pipebound.UserError, match="leave out `device`"):
        pipebound.solve(
            pipebound.from_networkx(_priced(), unit="ms"),
            2,
            settings=replace(SIMPLE, device=pipebound.load_device("reference")),
        )


def _priced() -> nx.DiGraph[Any]:
    graph: nx.DiGraph[Any] = nx.DiGraph()
    graph.add_node("a", work=1, output_size=1)
    graph.add_node("b", work=2, output_size=1)
    graph.add_edge("a", "b")
    return graph


def test_verify_gives_a_verdict(result: pipebound.Result, model: pipebound.ModelGraph, tmp_path: Path) -> None:
    # The word of CP-SAT has no certificate; that of `simple` has.
    assert pipebound.verify(result, model).verdict == "unproven"
    result = pipebound.solve(model, 2, settings=SIMPLE)
    found = pipebound.verify(result, model)
    assert found.verdict == "proven"
    assert "everything claimed is proven" in str(found)
    assert repr(found) == "<Verification: proven>"
    result.write(tmp_path / "r.json")
    assert pipebound.verify(tmp_path / "r.json", model) == found
    false = pipebound.verify(replace(result, dual_bound=0.0), model)
    assert [check.what for check in false.failed][:1] == ["the dual bound in s"]
    assert false.verdict == "false"
    with pytest.raises(pipebound.UserError, match="give it as `graph`"):
        pipebound.verify(result)
    with pytest.raises(pipebound.UserError, match="nothing to draw"):
        found.plot()


def test_compare_and_recommend_show_themselves(model: pipebound.ModelGraph, tmp_path: Path) -> None:
    settings = SIMPLE
    compared = pipebound.compare(model, ["simple", "cp-sat"], 2, settings=settings)
    assert repr(compared) == "<Comparison diamond: simple, cp-sat; 2 runs>"
    assert [run.above_best for run in compared.runs][1] == 0
    assert "diamond, k = 2" in str(compared)
    compared.plot(tmp_path / "c.svg")
    advised = pipebound.recommend(model, [2, 1], settings=settings)
    assert [choice.stages for choice in advised.choices] == [1, 2]
    assert "Is it worth optimising further? " in str(advised)
    assert repr(advised).startswith("<Recommendation diamond: ")
    advised.plot(tmp_path / "r.svg")
    pinned = pipebound.Constraints(pins=(("a", 0), ("e", 1)))
    assert list(pipebound.recommend(model, [1, 2], settings=settings, constraints=pinned).left_out) == [1]


def test_progress_is_told(model: pipebound.ModelGraph, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[pipebound.Progress] = []
    result = pipebound.solve(model, 2, settings=EXACT, progress=told.append)
    assert told[-1].incumbent is not None
    assert told[-1].dual_bound == result.dual_bound
    assert told[-1].incumbent >= (result.incumbent or 0.0)
    assert all(a.seconds <= b.seconds for a, b in itertools.pairwise(told))
    assert capsys.readouterr().err == ""
    pipebound.solve(model, 2, settings=EXACT, progress=True)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-1].startswith("diamond, k = 2: ")
    assert "gap 0%" in lines[-1]


OWN = """
from dataclasses import dataclass

from pipebound import Context, DualBound, Feature, Outcome, Problem, Reason, Soundness, Termination
from pipebound import register_formulation


@register_formulation("half-of-heaviest", features=[Feature.DUAL], summary="Half of the heaviest node")
@dataclass(frozen=True, slots=True, kw_only=True)
class HalfOfHeaviest:
    def bound(self, problem: Problem, context: Context) -> Outcome:
        value = int(problem.instance.work.max()) // 2
        dual = DualBound(value=value, source="half-of-heaviest", soundness=Soundness.EXACT)
        return Outcome(dual=dual, termination=Termination(reason=Reason.FINISHED))
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A formulation of one's own, in a module that was imported."""
    (tmp_path / "own_bound.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    import own_bound  # type: ignore[import-not-found]  # noqa: F401

    yield
    registry._entries.pop("half-of-heaviest")
    del sys.modules["own_bound"]


def test_entries_of_imported_modules_run_in_members(model: pipebound.ModelGraph, own: None) -> None:
    result = pipebound.solve(model, 2, settings=replace(SIMPLE, entry="half-of-heaviest"))
    assert {bound.source for bound in result.bounds} == {"simple", "half-of-heaviest"}
    assert not result.faults


def test_entries_of_the_script_are_refused(
    model: pipebound.ModelGraph, own: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    factory = registry.get("half-of-heaviest").factory
    monkeypatch.setattr(factory, "__module__", "__main__")
    with pytest.raises(pipebound.UserError, match="name that in `plugin_files`"):
        pipebound.solve(model, 2, settings=pipebound.Settings(entry="half-of-heaviest"))


def test_documents_of_comparison_and_recommendation_are_json(model: pipebound.ModelGraph) -> None:
    settings = SIMPLE
    assert json.loads(json.dumps(pipebound.recommend(model, [1], settings=settings).as_dict()))["knee"] == 1

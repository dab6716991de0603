"""`pipebound verify` believes nothing: whatever leaf of a result is falsified, it does not exit with 0."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.graph import ModelGraph
from framework.portfolio.records import GraphInput
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import solve
from framework.portfolio.verification import NOT_CHECKED, verify_document
from framework.proof.log import VERSION
from tests import mutations

# Besides what `verify` says it takes as told: another certificate that proves as much is as good.
AS_GOOD = "bounds[].certificate.data"


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> ModelGraph:
    nodes = [{"name": f"v{v}", "op": "x", "work": 5 + (v * 7) % 11, "parameter_cost": v % 3} for v in range(7)]
    tensors = [{"producer": v, "cost": 1 + v % 4, "consumers": [u for u in (v + 1, v + 2) if u < 7]} for v in range(6)]
    top = {"format": "pipebound-graph", "version": 1, "name": "braid", "cost_unit": "ms", "capacity": 2}
    path = tmp_path_factory.mktemp("graph") / "braid.graph.json"
    path.write_text(json.dumps(top | {"nodes": nodes, "tensors": tensors}))
    return read_graph(path)


@pytest.fixture(scope="module")
def document(graph: ModelGraph) -> dict[str, Any]:
    settings = Settings(entry="counting", budget=120)
    found = solve(graph, 3, settings=settings, session=Session(graph_input=GraphInput(path="braid.graph.json")))
    loaded: dict[str, Any] = json.loads(found.to_json())
    assert loaded["status"] == "optimal"
    assert len(loaded["bounds"]) == 2
    return loaded


def states(document: Any, graph: ModelGraph) -> set[str]:
    """Return the states of all checks; ``unreadable`` where there is one line instead."""
    try:
        return {check.state for check in verify_document(document, graph).checks}
    except UserError:
        return {"unreadable"}


def lies(value: Any) -> Iterator[Any]:
    """Yield values of a leaf, or of a list or object, that are not the one it has."""
    if isinstance(value, bool):
        yield from (not value, int(value), None)
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value + 0.9, float("nan"), str(value), value == 1, None)
    elif isinstance(value, float):
        yield from (value + 1, value - 1, value + 1e-9, str(value), True, None)
    elif isinstance(value, str):
        yield from (f"{value}x", 0, None)
    elif value is None:
        yield from (0, "x", False)
    elif isinstance(value, list):
        yield from (value + value[-1:], value[:-1], value[::-1], {}) if value else ([0], {})
    else:
        yield from ({**value, "unknown": 1}, [])


def field_of(path: mutations.Path) -> str:
    return "".join("[]" if isinstance(key, int) else f".{key}" for key in path).lstrip(".")


def is_taken_as_told(path: mutations.Path) -> bool:
    field = field_of(path)
    if field == "trajectory[][]":
        return path[2] == 0 or int(path[1]) > 0
    told = [*NOT_CHECKED, AS_GOOD]
    return any(field == name or field.startswith((f"{name}.", f"{name}[")) for name in told)


def test_a_true_result_is_proven(document: dict[str, Any], graph: ModelGraph) -> None:
    assert states(document, graph) == {"ok"}


def test_no_leaf_can_be_falsified(document: dict[str, Any], graph: ModelGraph) -> None:
    survivors, tried = set(), 0
    for path in mutations.paths(document):
        if is_taken_as_told(path):
            continue
        value = mutations.value_at(document, path)
        fakes = [mutations.replaced(document, path, lie) for lie in lies(value) if lie != value or type(lie) is bool]
        for fake in [mutations.dropped(document, path), *fakes]:
            tried += 1
            if states(fake, graph) == {"ok"}:
                survivors.add(field_of(path))
    assert tried > 300
    # A bound in the middle of the history may be left out: nothing else in the file depends on it.
    assert survivors <= {"trajectory[]"}


def test_what_is_taken_as_told_still_has_its_type(document: dict[str, Any], graph: ModelGraph) -> None:
    for path in mutations.paths(document):
        value = mutations.value_at(document, path)
        if is_taken_as_told(path) and "details" not in path and "environment" not in path:
            wrong: Any = [] if isinstance(value, dict) else {"a": [float("nan")]}
            assert states(mutations.replaced(document, path, wrong), graph) & {"failed", "unreadable"}, path


def _strip_certificate(document: dict[str, Any]) -> None:
    document["bounds"][0]["certificate"] = None


def _strip_certificate_of_simple(document: dict[str, Any]) -> None:
    document["bounds"][1]["certificate"] = None


def _raise_everything(document: dict[str, Any]) -> None:
    row = document["bounds"][0]
    row["ticks"] += 1
    row["value"] += 1.0
    document["dual_bound_ticks"] += 1
    document["dual_bound"] += 1.0
    document["trajectory"][-1][1] += 1.0


def _lower_the_incumbent(document: dict[str, Any]) -> None:
    document["incumbent_ticks"] -= 1
    document["incumbent"] -= 1.0
    document["trajectory"][-1][2] -= 1.0


def _fewer_stages(document: dict[str, Any]) -> None:
    document["stages"] = 2


def _unknown_checker(document: dict[str, Any]) -> None:
    document["bounds"][0]["certificate"]["kind"] = "nobody"


def _overflow(document: dict[str, Any]) -> None:
    document["bounds"][0]["certificate"]["data"]["weights"][0] = 10**30


def _certified_without(document: dict[str, Any]) -> None:
    document["bounds"][0] |= {"soundness": "certified", "certificate": None}


def _without_rounding(document: dict[str, Any]) -> None:
    del document["rounding"]


@pytest.mark.parametrize(
    ("falsify", "state"),
    [
        (_strip_certificate, "unproven"),
        (_strip_certificate_of_simple, "failed"),
        (_raise_everything, "failed"),
        (_lower_the_incumbent, "failed"),
        (_fewer_stages, "unreadable"),
        (_unknown_checker, "failed"),
        (_overflow, "failed"),
        (_certified_without, "failed"),
        (_without_rounding, "failed"),
    ],
)
def test_consistent_lies_are_found(
    document: dict[str, Any], graph: ModelGraph, falsify: Callable[[dict[str, Any]], None], state: str
) -> None:
    fake = json.loads(json.dumps(document))
    falsify(fake)
    assert state in states(fake, graph)


def test_files_of_earlier_versions_can_be_verified(document: dict[str, Any], graph: ModelGraph) -> None:
    old = json.loads(json.dumps(document))
    for name in ("rounding", "node_names", "constraints", "over_limit"):
        del old[name]
    old["graph"]["sha256"] = graph.named_sha256()
    assert states(old, graph) == {"ok"}
    # Ticks of earlier versions may be rounded otherwise: then only the partition can be checked.
    old["ticks_per_unit"] = 10.0
    assert states(old, graph) == {"ok", "unproven"}
    old["stage_of"] = old["stage_of"][::-1]
    assert "failed" in states(old, graph)


@pytest.mark.parametrize("version", [None, 1, VERSION + 1])
def test_a_certificate_by_other_rules_is_unproven_and_not_false(graph: ModelGraph, version: int | None) -> None:
    found: dict[str, Any] = json.loads(solve(graph, 3, settings=Settings(entry="fixing", budget=120)).to_json())
    row = next(row for row in found["bounds"] if row["source"] == "fixing")
    data = row["certificate"]["data"]
    assert states(found, graph) == {"ok"}
    data["threshold"] -= 1
    assert states(found, graph) == {"ok", "failed"}
    if version is None:
        del data["version"]
    else:
        data["version"] = version
    assert states(found, graph) == {"ok", "unproven"}


def test_odd_values_are_one_line_or_a_failed_check(document: dict[str, Any], graph: ModelGraph) -> None:
    for fake in mutations.odd_ones({**document, "environment": {}, "members": document["members"][:1]}):
        assert states(fake, graph)


def test_exit_codes_and_words(
    document: dict[str, Any],
    graph: ModelGraph,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from framework.cli import run

    def verify(fake: dict[str, Any], *options: str) -> tuple[int, str, str]:
        path = tmp_path / "result.json"
        path.write_text(json.dumps(fake))
        monkeypatch.setattr("sys.argv", ["pipebound", "verify", str(path), *options])
        code = run()
        told = capsys.readouterr()
        return code, " ".join(told.out.split()), told.err

    file = ("--graph", graph.source)
    assert "everything claimed is proven" in verify(document, *file)[1]
    stripped = json.loads(json.dumps(document))
    _strip_certificate(stripped)
    code, out, _ = verify(stripped, *file)
    assert code == 4
    assert "1 bound is not independently checked (no certificate)." in out
    assert verify(stripped, *file, "--allow-unproven")[0] == 0
    _strip_certificate_of_simple(stripped)
    code, out, _ = verify(stripped, *file, "--allow-unproven")
    assert code == 1
    assert "FAILED" in out
    code, out, err = verify(document)
    assert (code, out) == (2, "")
    assert "the graph of the result, braid.graph.json, is not here (give --graph FILE)" in err
    assert verify({**document, "statsu": 1}, *file)[0] == 2

"""How scripts/testbed/catalogue.py chooses among captured graphs."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from framework.formats import read_graph
from framework.formats.native import write_native
from framework.testbed.catalogue import CatalogueRow, bundled_graphs
from tests.testbed.test_catalogue import load_script


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_script("catalogue", monkeypatch)


def row(name: str, nodes: int, *, family: str = "f", full: bool = False, source: str = "timm 1") -> CatalogueRow:
    base = next(row for row in bundled_graphs() if row.name == "resnet50")
    return replace(base, name=name, nodes=nodes, family=family, source=source, subsets=("full",) if full else ())


def test_three_of_a_family_full_depth_first_then_spread(script: ModuleType) -> None:
    left: list[tuple[str, str, str]] = []
    rows = [row(f"cut{i}", 100 + i) for i in range(5)]
    kept = script.choose([*rows, row("deep", 50, full=True)], left)
    assert [kept_row.name for kept_row in kept] == ["cut0", "cut4", "deep"]
    assert all(not kept_row.subsets for kept_row in kept)
    assert {(name, reason) for name, _, reason in left} == {
        (f"cut{i}", "its family, f, is represented") for i in (1, 2, 3)
    }
    kept = script.choose(rows, [])
    assert [kept_row.name for kept_row in kept] == ["cut0", "cut2", "cut4"]


def test_the_onnx_graphs_always_stay(script: ModuleType) -> None:
    rows = [row(f"deep{i}", 1000 + i, full=True) for i in range(4)]
    rows += [row("inception_v1", 1, source="onnx 1, x"), row("inception_v2", 2, source="onnx 1, x")]
    assert {kept.name for kept in script.choose(rows, [])} == {"inception_v1", "inception_v2", "deep3"}


def test_core_takes_turns_over_sizes_and_areas(script: ModuleType) -> None:
    rows = [
        replace(
            row(f"g{i}", (50, 100, 250, 600, 2000)[i % 5], family=f"f{i // 2}"), task="rare" if i % 40 < 5 else "common"
        )
        for i in range(400)
    ]
    core = script.core_of(rows)
    assert len(core) == len({chosen.family for chosen in core}) == script.CORE
    sizes = Counter(chosen.nodes for chosen in core)
    assert max(sizes.values()) - min(sizes.values()) <= 1
    assert Counter(chosen.task for chosen in core)["rare"] > script.CORE / 3


def test_equal_structures_and_failures_are_left_out_with_a_reason(script: ModuleType, tmp_path: Path) -> None:
    for source in script.SOURCES:
        (tmp_path / f"{source}.jsonl").touch()
    facts = {"family": "f", "task": "vision", "package": "timm"}
    lines = [facts | {"name": name} for name in ("first", "second")]
    lines.append(facts | {"name": "third", "failure": "ImportError: natten"})
    (tmp_path / "timm.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in ("first", "second"):
        write_native(replace(read_graph("testbed:squeezenet"), name=name), tmp_path / f"{name}.graph.json.xz")
    left: list[tuple[str, str, str]] = []
    rows = script.captured_rows(tmp_path, {}, left)
    assert [kept.name for kept in rows] == ["first"]
    assert left == [("second", "timm", "the same structure as first"), ("third", "timm", "ImportError: natten")]

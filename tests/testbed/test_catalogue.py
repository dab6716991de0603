"""The committed graphs: they are what the catalogue says, and what a testbed must be."""

from __future__ import annotations

import lzma
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.graph import PhysicalCosts
from framework.model.pricing import price
from framework.structure.poset.width import depths, width
from framework.testbed.bundled import DATA, SUFFIX, bundled_names, bundled_path
from framework.testbed.catalogue import SUBSETS, CatalogueRow, bundled_graphs, subset_names
from framework.testbed.structure import structure_digest
from tests.conftest import REPOSITORY, module_of

ROWS = bundled_graphs()
ONNX = ("bvlc_alexnet", "densenet121", "inception_v1", "inception_v2", "resnet50", "shufflenet", "squeezenet", "vgg19")
EXACT_WIDTH_UP_TO = 300


def load_script(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Import a script of scripts/testbed/, which may import its neighbours."""
    folder = REPOSITORY / "scripts" / "testbed"
    monkeypatch.syspath_prepend(str(folder))
    return module_of(folder / f"{name}.py", listed=monkeypatch)


def test_the_catalogue_lists_what_is_there() -> None:
    assert [row.name for row in ROWS] == bundled_names()
    assert {*ONNX, "zfnet512"} <= set(bundled_names())


def test_listing_unpacks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes) -> bytes:
        raise AssertionError("a graph was unpacked")

    monkeypatch.setattr(lzma, "decompress", refuse)
    bundled_graphs.cache_clear()
    assert bundled_graphs() == ROWS


def test_it_is_large_and_diverse() -> None:
    assert len(ROWS) >= 500
    assert max(Counter(row.family for row in ROWS).values()) <= 3
    assert len({row.structure for row in ROWS}) == len(ROWS)
    assert len({row.sha256 for row in ROWS}) == len(ROWS)
    tasks = Counter(row.task for row in ROWS)
    assert sum(count >= 5 for count in tasks.values()) >= 8
    needed = {"vision", "language", "audio", "diffusion", "graph", "recommendation", "segmentation", "detection"}
    assert needed <= set(tasks)
    assert sum(row.nodes > 1000 for row in ROWS) >= 100
    assert min(row.nodes for row in ROWS) < 30
    assert any(row.nodes > 10_000 and row.family in ("llama", "olmoe") for row in ROWS)
    assert "published-llama-3.1-405b" in {row.name for row in ROWS}


def test_it_is_small_on_disk() -> None:
    assert sum(path.stat().st_size for path in DATA.iterdir()) <= 8_000_000


def check(row: CatalogueRow) -> None:
    graph = read_graph(bundled_path(row.name))
    costs, top = graph.costs, graph.topology
    assert isinstance(costs, PhysicalCosts)
    assert graph.named_sha256() == row.sha256
    assert structure_digest(graph) == row.structure
    assert (graph.name, graph.source, graph.batch, graph.dtype) == (row.name, row.source, row.batch, row.dtype)
    assert (top.n, top.m) == (row.nodes, row.tensors)
    assert costs.flops.sum() == row.flops
    assert costs.parameter_bytes.sum() + costs.shared_bytes.sum() == row.parameter_bytes
    assert (row.guesses > 0) == any("guessed" in remark for remark in graph.remarks)
    # Nodes come in the order in which they ran: no cycle. Every tensor has a consumer, none twice, and some producer.
    assert top.is_topological
    assert np.all(np.diff(top.consumer_ptr) > 0)
    pins = top.consumers * top.m + np.repeat(np.arange(top.m), np.diff(top.consumer_ptr))
    assert len(np.unique(pins)) == len(pins)
    assert top.producer.min() >= 0
    assert max(top.producer.max(), top.consumers.max()) < top.n
    assert 1 <= row.width <= row.nodes
    assert row.width * row.depth >= row.nodes


@pytest.mark.parametrize("part", range(8))
def test_rows_describe_their_graphs(part: int) -> None:
    for row in ROWS[part::8]:
        check(row)


def test_width_and_depth_are_exact() -> None:
    small = [row for row in ROWS if row.nodes <= EXACT_WIDTH_UP_TO][::6]
    assert len(small) > 20
    for row in small:
        instance = price(read_graph(bundled_path(row.name)), load_device("reference"))
        assert instance.n == row.nodes
        assert instance.total_work > 0
        assert width(instance) == row.width
        assert int(depths(instance).max()) + 1 == row.depth


def test_parameters_agree_with_the_modules_or_the_page_says_why() -> None:
    page = (REPOSITORY / "docs" / "testbed.md").read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| (\S+) \| [+-][0-9.]+% \| (.*) \|$", page, re.MULTILINE))
    compared = 0
    for row in ROWS:
        if row.module_bytes is None:
            assert row.source.startswith("onnx ")
            continue
        assert row.used_bytes is not None
        compared += 1
        assert row.parameter_bytes >= row.used_bytes
        if abs(row.used_bytes - row.module_bytes) > 0.05 * row.module_bytes:
            assert listed.pop(row.name), f"{row.name} has no reason"
    assert not listed
    assert compared >= 500


def test_subsets_are_spread() -> None:
    names = {subset: set(subset_names(subset)) for subset in SUBSETS}
    assert names["smoke"] < names["core"] < names["full"]
    assert names["full"] == set(bundled_names())
    by_name = {row.name: row for row in ROWS}
    smoke, core = ([by_name[name] for name in names[subset]] for subset in ("smoke", "core"))
    assert len(smoke) == 12
    assert len({row.task for row in smoke}) >= 6
    assert max(row.nodes for row in smoke) <= 400
    assert len(core) == len({row.family for row in core}) == 60
    assert len({row.task for row in core}) >= 8
    assert min(row.nodes for row in core) < 60
    assert max(row.nodes for row in core) > 5000
    assert len(names["regal-like"]) == 64
    with pytest.raises(UserError, match="no subset is called 'cores' \\(did you mean core\\?\\)"):
        subset_names("cores")


def test_subsets_follow_from_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    script = load_script("catalogue", monkeypatch)
    bare = [replace(row, subsets=()) for row in ROWS]
    assert tuple(script.with_subsets(bare)) == ROWS


def test_every_package_has_a_licence() -> None:
    notice = (DATA / "NOTICE.txt").read_text(encoding="utf-8")
    listed = {found[1] for found in re.finditer(r"^(\S+) {2,}\S+ +https\S+$", notice, re.MULTILINE)}
    assert {row.source.split()[0] for row in ROWS} <= listed


def test_a_rebuild_of_the_onnx_graphs_gives_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if f"onnx {onnx.__version__}," not in next(row.source for row in ROWS if row.name == "resnet50"):
        pytest.skip(f"the graphs were built with another version than onnx {onnx.__version__}")
    built = load_script("build_onnx_graphs", monkeypatch).build(tmp_path)
    assert built == sorted({*ONNX, "zfnet512"})
    for name in built:
        ours, new = ((folder / f"{name}{SUFFIX}").read_bytes() for folder in (DATA, tmp_path))
        # The content, not the compression: another version may pack it differently.
        assert lzma.decompress(ours) == lzma.decompress(new)

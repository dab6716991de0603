"""Layouts: what is written is read again as the same split, and what cannot be said is refused."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import numpy as np
import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.layouts.naive import named_split
from framework.layouts.read import read_split
from framework.layouts.write import LAYOUTS, write_split
from framework.portfolio.constraints import Constraints
from tests.layouts.graphs import layered, of_edges, result_of

GRAPH = layered(4)
CUT = [0] * 7 + [1] * 6 + [2] * 14
MODULES = [name for name, layout in LAYOUTS.items() if layout.modules]


def parsed(text: str) -> Any:
    return json.loads(text) if text[0] in "{[" else text.strip()


def test_each_tool_is_spoken_to_in_its_own_grammar() -> None:
    result = result_of(GRAPH, CUT, 3)
    texts = {name: write_split(result, GRAPH, name).text for name in LAYOUTS}
    # torch: `split_spec` maps the path of a submodule to a SplitPoint.
    assert parsed(texts["split-spec"]) == {"model.layers.1": "BEGINNING", "model.layers.2": "BEGINNING"}
    # torchtitan: one list of fully qualified names a model part.
    assert parsed(texts["fqn-per-stage"]) == [
        ["model.embed_tokens", "model.layers.0"],
        ["model.layers.1"],
        ["model.layers.2", "model.layers.3", "model.norm", "lm_head"],
    ]
    # accelerate: a flat object, devices counted from 0.
    assert parsed(texts["device-map"]) == {
        "model.embed_tokens": 0,
        **{f"model.layers.{i}": min(i, 2) for i in range(4)},
        "model.norm": 2,
        "lm_head": 2,
    }
    # vLLM: as many numbers as stages, which add up to the number of hidden layers.
    assert texts["vllm"] == "VLLM_PP_LAYER_PARTITION=1,1,2\n"
    assert texts["megatron"] == "Et|t|ttL\n"
    # DeepSpeed: stage b runs layers parts[b] to parts[b + 1] of the list.
    found = parsed(texts["deepspeed"])
    assert found["parts"] == [0, 2, 3, 7]
    assert [name.split(".")[-1] for name in found["layers"]] == ["embed_tokens", "0", "1", "2", "3", "norm", "lm_head"]
    rows = list(csv.reader(io.StringIO(texts["csv"])))
    assert rows[0] == ["node", "stage"]
    assert [(name, int(stage)) for name, stage in rows[1:]] == list(zip(GRAPH.node_names, CUT, strict=True))


@pytest.mark.parametrize("layout", MODULES)
def test_real_models_are_read_again_as_they_were_written(layout: str) -> None:
    for name in ("transformers-llama", "transformers-bert", "transformers-gpt2"):
        graph = read_graph(f"testbed:{name}")
        for k in (1, 2, 5):
            stage_of = named_split("even-layers", graph, k)
            written = write_split(result_of(graph, stage_of, k), graph, layout)
            if k == 1 and layout in ("split-spec", "megatron"):
                # Without a cut there is nothing to read.
                assert parsed(written.text) in ({}, f"E{'t' * 12}L")
                continue
            again = read_split(parsed(written.text), graph, k)
            assert again.stage_of.tolist() == stage_of.tolist()
            assert not [remark for remark in written.remarks if "elsewhere" in remark]


@pytest.mark.parametrize("layout", MODULES)
def test_a_cut_within_a_layer_is_refused_by_name(layout: str) -> None:
    result = result_of(GRAPH, [0] * 10 + [1] * 17, 2)
    with pytest.raises(UserError, match=r"through the module 'model\.layers\.1'.*whole_modules=model\.layers\.\*"):
        write_split(result, GRAPH, layout)


def test_what_a_result_kept_whole_are_its_layers() -> None:
    graph = of_edges([f"block.{i}.layer.{j}.mm" for i in range(2) for j in range(2)], [(0, 1), (1, 2), (2, 3)])
    stage_of = [0, 0, 1, 1]
    assert write_split(result_of(graph, stage_of, 2), graph, "vllm").text.endswith("=1,1\n")
    result = result_of(graph, [0, 1, 1, 1], 2, Constraints(whole_modules=("layer.*",)))
    assert write_split(result, graph, "vllm").text.endswith("=1,3\n")
    assert write_split(result, graph, "vllm", ["block.?.layer.?"]).text.endswith("=1,3\n")


def test_nodes_that_run_elsewhere_are_named_and_priced() -> None:
    names = ["embed.mm", "mask", "layers.0.mm", "layers.1.mm", "head.mm"]
    graph = of_edges(names, [(0, 2), (2, 3), (1, 3), (3, 4)], seconds=[1, 0.25, 1, 1, 1])
    # Launchers compute what has no inputs at the front.
    result = result_of(graph, [0, 1, 0, 1, 1], 2)
    (remark,) = write_split(result, graph, "device-map").remarks
    assert "device-map runs 1 node elsewhere: mask in stage 0 instead of 1" in remark
    assert f"its bottleneck is {2.25 + 2e-6:.6g} s, that of the result 1" in remark


def test_modules_that_left_no_node_are_told() -> None:
    names = ["wte.embedding", "add.mm", "h.0.mm", "h.1.mm"]
    graph = of_edges(names, [(0, 1), (1, 2), (2, 3)])
    assert not write_split(result_of(graph, [0, 0, 0, 1], 2), graph, "fqn-per-stage").remarks
    graph = of_edges(["m.wte.embedding", "m.mm", "m.h.0.mm", "m.h.1.mm"], [(0, 1), (1, 2), (2, 3)])
    result = result_of(graph, [0, 0, 0, 1], 2)
    assert any("of 'm.mm'" in remark for remark in write_split(result, graph, "fqn-per-stage").remarks)
    assert next(iter(parsed(write_split(result, graph, "device-map").text))) == "m"


@pytest.mark.parametrize(
    ("names", "edges", "stage_of", "layout", "complaint"),
    [
        (["a.mm", "b.mm", "c.mm"], [(0, 1)], [0, 2, 2], "split-spec", "stage 1 runs no module"),
        (["a.mm", "b.mm"], [(0, 1)], [1, 1], "split-spec", "stage 0 runs no module"),
        (["a.mm", "b.mm", "c.mm"], [(0, 2)], [0, 1, 0], "split-spec", "'c' of stage 0 runs after 'b' of stage 1"),
        (["a.mm", "b.mm", "c.mm"], [(0, 2)], [0, 1, 0], "deepspeed", "parts are ranges"),
        (["l.0.a", "l.1.a", "x", "l.0.b"], [(0, 3), (1, 2)], [0, 1, 1, 0], "split-spec", "does not run in one piece"),
        (["l.0.a", "l.1.a"], [], [1, 0], "vllm", "counts cannot say so"),
        (["a.mm", "b.mm"], [(0, 1)], [0, 1], "megatron", "tell of no layers"),
    ],
)
def test_what_a_tool_cannot_say_is_refused(
    names: list[str], edges: list[tuple[int, int]], stage_of: list[int], layout: str, complaint: str
) -> None:
    graph = of_edges(names, edges) if edges else of_edges(names, [(0, 1)])
    with pytest.raises(UserError, match=complaint):
        write_split(result_of(graph, stage_of, max(stage_of) + 1), graph, layout)


def test_a_layout_of_another_graph_is_refused() -> None:
    with pytest.raises(UserError, match="not the graph that was solved"):
        write_split(result_of(GRAPH, CUT, 3), layered(5), "csv")


def test_dot_escapes_names_and_shows_bytes_at_cuts() -> None:
    graph = of_edges(['a"]; b', "c\\", "d\ne"], [(0, 1), (1, 2)], name='x" {')
    text = write_split(result_of(graph, [0, 0, 1], 2), graph, "dot").text
    # Outside of quoted strings nothing is left but the grammar.
    bare = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    assert re.fullmatch(r"[\w\s=\[\];{}>,\-\"]*", bare)
    assert bare.count("{") == bare.count("}") == 3
    assert text.count("1000 B") == 1
    assert '"a\\"]; b"' in text
    assert '"c\\\\"' in text
    assert len(np.unique(re.findall(r"n\d+ \[label", text))) == 3

"""Splits in the words of other tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import UserError
from framework.layouts.megatron import layout_stages, write_layout
from framework.layouts.read import most_stages, read_split
from tests.layouts.graphs import layered, of_edges

GRAPH = layered(4)
NAMES = GRAPH.node_names


def stages(*counts: int) -> list[int]:
    return [b for b, count in enumerate(counts) for _ in range(count)]


HALVES = stages(13, 14)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node,stage\n" + "\n".join(f"{name},{int(v > 12)}" for v, name in enumerate(NAMES)), HALVES),
        ("\n".join(f'"{name}",{int(v > 12)}' for v, name in enumerate(NAMES)), HALVES),
        (json.dumps({name: int(v > 12) for v, name in enumerate(NAMES)}), HALVES),
        ("2,2", HALVES),
        ("VLLM_PP_LAYER_PARTITION=2,2", HALVES),
        ('export VLLM_PP_LAYER_PARTITION="1,3"\n', stages(7, 20)),
        ("0,4", stages(1, 26)),
        ("Ett|ttL", HALVES),
        ('--pipeline-model-parallel-layout "E|(t|)*2,tt|L"', stages(1, 6, 6, 12, 2)),
        ("[0, 2, 4]", HALVES),
        ("[0, 3, 5]", HALVES),
        ("[0, 3, 6]", HALVES),
        ('{"model.layers.2": "BEGINNING"}', HALVES),
        ('{"model.layers.1": "END"}', HALVES),
        ('{"model.layers.0": "END", "lm_head": "BEGINNING"}', stages(7, 19, 1)),
        ('{"model": 0, "model.layers.2": 1, "model.layers.3": 1, "model.norm": 1, "lm_head": 1}', HALVES),
        ('{"": 0, "model.layers.2": "cuda:1", "model.layers.3": "cuda:1", "model.norm": 1, "lm_head": 1}', HALVES),
        ('{"model.embed_tokens": 0, "model.layers.2": 4, "model.layers.3": 4}', HALVES),
        ('[["model.embed_tokens", "model.layers.0", "model.layers.1"], ["model.layers.2", "model.layers.3"]]', HALVES),
        (
            json.dumps(
                {
                    "parts": [0, 3, 6],
                    "layers": ["model.embed_tokens", *(f"model.layers.{i}" for i in range(4)), "lm_head"],
                }
            ),
            HALVES,
        ),
    ],
)
def test_the_words_of_tools_are_understood(text: str, expected: list[int], tmp_path: Path) -> None:
    file = tmp_path / "split"
    file.write_text(text)
    split = read_split(str(file), GRAPH, None)
    assert split.stage_of.tolist() == expected
    assert split.stages == max(expected) + 1
    assert split.name == "split"
    if text[0] in "{[":
        assert read_split(json.loads(text), GRAPH, None).stage_of.tolist() == expected
    if "," in text and "\n" not in text and text[0].isdigit():
        assert read_split(text, GRAPH, None).name == text


def test_modules_that_are_left_open_run_where_their_inputs_are() -> None:
    names = ["embed.mm", "mask", "layers.0.mm", "add", "layers.1.mm", "head.mm"]
    graph = of_edges(names, [(0, 2), (2, 3), (1, 3), (3, 4), (4, 5)])
    split = read_split({"embed": 0, "layers.0": 1, "layers.1": 2}, graph, None)
    assert split.stage_of.tolist() == [0, 0, 1, 1, 2, 2]


def test_a_layout_may_be_longer_than_a_name_of_a_file() -> None:
    assert read_split(f"E{'|' * 400}tttt|L", GRAPH, None).stages == 402


def test_a_name_takes_its_number_of_stages_from_the_caller() -> None:
    assert read_split("even-layers", GRAPH, 2).stage_of.tolist() == HALVES
    assert most_stages(["even-layers", "1,1,2", [0, 2, 4]], GRAPH) == 3
    assert read_split("2,2", GRAPH, 3).stages == 3
    with pytest.raises(UserError, match="the number of stages is missing"):
        most_stages(["even-layers"], GRAPH)
    with pytest.raises(UserError, match="even-layers needs a number of stages"):
        read_split("even-layers", GRAPH, None)
    with pytest.raises(UserError, match="the split has 2 stages, and 1 are asked for"):
        read_split("2,2", GRAPH, 1)


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ("evenly", "no split is called 'evenly'"),
        ("absent.csv", r"absent\.csv: there is no such file"),
        ("2,3", "add up to 5, and the model has 4 layers, from 'model.layers.0' to 'model.layers.3'"),
        ("Et|tL", "the layout has 2 layers, and the model has 4"),
        ("Etm|tttL", "multi-token prediction"),
        ("EEt|tttL", "one E, one L"),
        ("|" + "(t*9)*9" * 3, "the layout has 243 layers"),
        ("|" + "(" * 9 + "t*99" + ")*99" * 9, "the layout is too long"),
        ({}, "this is no split that is known"),
        ([], "this is no split that is known"),
        ([1, 2], "parts begin with 0"),
        ([0, 3, 2], "parts begin with 0"),
        ([0, 9], "the last part ends at 9, and the model has 4 layers"),
        ({"parts": [0, 2], "layers": ["lm_head"]}, "the last part ends at 2, and there are 1 layers"),
        ({"model.layers.9": "BEGINNING"}, "no node ran in a module 'model.layers.9'"),
        ({"encoder": 0}, "names no module and no node"),
        ({"model": 0, "lm_head": "disk"}, "some modules are on 'disk', which is no stage"),
        ({"model": 0.5}, "0.5 is no device"),
        ({"model": True}, "is no device"),
        ([["model"], [3]], "this is no split that is known"),
        ({"format": "pipebound-result"}, "version"),
    ],
)
def test_mistakes_are_told(given: Any, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        read_split(given, GRAPH, None)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("node,stage\na,0", "it has no stage for the node 'model.embed_tokens.embedding'"),
        ("\n".join(f"{name},0" for name in (*NAMES, "stranger")), "the graph has no node 'stranger'"),
        ("\n".join(f"{name},0" for name in (*NAMES, NAMES[0])), "is there twice"),
        ("a,b\nc,d", "row 2 is no pair of a node and a stage"),
        (f"{NAMES[0]},99999999", "99999999 is no stage"),
        ("", "it has no stage for the node"),
        ("{", "not JSON"),
        ("[" * 10_000, "not JSON"),
    ],
)
def test_damaged_files_are_told(text: str, complaint: str, tmp_path: Path) -> None:
    file = tmp_path / "split.txt"
    file.write_text(text)
    with pytest.raises(UserError, match=complaint):
        read_split(str(file), GRAPH, None)


WORDS = st.sampled_from(["model", "model.layers.0", "lm_head", "BEGINNING", "parts", "layers", "format", "", "cuda:1"])
NUMBERS = st.integers(-2, 5) | st.integers() | st.floats(allow_nan=True)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(JSON)
def test_any_document_is_a_split_or_a_mistake(document: Any) -> None:
    if isinstance(document, str):
        document = [document]
    try:
        split = read_split(document, GRAPH, None)
    except UserError:
        return
    assert split.stage_of.min() >= 0
    assert split.stage_of.max() < split.stages


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.text(alphabet="Etm|*(),0123456789 \n=\"'{}[]:abVLLM_P", max_size=60) | st.text(max_size=30))
def test_any_text_is_a_split_or_a_mistake(text: str) -> None:
    try:
        split = read_split(f"|{text}", GRAPH, None)
    except UserError:
        return
    assert len(split.stage_of) == GRAPH.topology.n


@pytest.mark.parametrize(
    "text", ["1" * 5000, "VLLM_PP_LAYER_PARTITION=" + "1" * 5000, f"{NAMES[0]},{'1' * 5000}", "\ud800"]
)
def test_absurd_numbers_are_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "split.txt"
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(UserError):
        read_split(str(file), GRAPH, None)


@pytest.mark.parametrize(
    ("layout", "expected"),
    [
        # The example of Megatron's documentation: 61 layers, without the one for prediction of several tokens.
        ("Et*3|(tt|)*29,|L", (0, [0, 0, 0, *[b for b in range(1, 30) for _ in range(2)]], 31, 32)),
        ("E||t|L", (0, [2], 3, 4)),
        ("Etttt L", (0, [0] * 4, 0, 1)),
        ("(Et|)*1(t*2|)*2L", (0, [0, 1, 1, 2, 2], 3, 4)),
    ],
)
def test_megatrons_layouts_mean_what_its_documentation_says(
    layout: str, expected: tuple[int, list[int], int, int]
) -> None:
    assert layout_stages(layout) == expected
    assert layout_stages(write_layout(*expected)) == expected

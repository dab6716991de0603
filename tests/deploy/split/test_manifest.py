"""Manifests: whatever is wrong with a field is one error that names it."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from framework.deploy.onnx_model import ModelFile
from framework.deploy.split.manifest import Manifest
from framework.deploy.split.manifest_fields import check_manifest
from framework.deploy.tuning.trial import stages_of_nodes
from framework.errors import UserError
from framework.fields import Fields
from framework.formats.profile_note import read_note
from framework.model.device import Device
from framework.portfolio.constraints import Constraints
from tests.mutations import odd_ones, replaced

TENSOR = {"dtype": "float32", "shape": ["N", 3]}
DOCUMENT: dict[str, Any] = {
    "model": {"path": "m.onnx", "weights": "stored", "source": "m.onnx", "dims": {"N": 1}},
    "inputs": [{"name": "x", "stages": [0], **TENSOR}],
    "outputs": [{"name": "y", "stage": 2, **TENSOR}, {"name": "x", "stage": None, **TENSOR}],
    "stages": [
        {
            "stage": number,
            "file": f"stage{number}.onnx",
            "weights_file": None,
            "weight_bytes": 7,
            "nodes": [f"n{number}"],
            "inputs": [given],
            "outputs": [made],
        }
        for number, given, made in ((0, "x", "h"), (2, "h", "y"))
    ],
    "tensors": [{"name": "h", "bytes": None, "from": 0, "to": [2], **TENSOR}],
    "shared_weights": [{"name": "w", "bytes": 4, "stages": [0, 2]}],
    "predicted": {
        "unit": "s",
        "bottleneck": 0.5,
        "dual_bound": None,
        "status": "optimal",
        "stages": 3,
        "stage_costs": [],
        "stage_memory": [{"parameters": b, "state": 0, "workset": 8, "peak_live": 8} for b in range(3)],
        "graph": None,
        "device": Device(name="d", peak_flops=1.0).as_dict(),
        "constraints": Constraints(pins=(("n0", 0),), memory_limit=9).as_dict(),
    },
    "remarks": [],
}


def test_a_manifest_as_it_should_be_passes() -> None:
    check_manifest(Fields(DOCUMENT, "m.json"))


@pytest.mark.parametrize("name", ["graph", "device", "bottleneck"])
def test_what_may_be_null_may_not_be_absent(name: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    del document["predicted"][name]
    with pytest.raises(UserError, match=rf"predicted.{name}: is missing"):
        check_manifest(Fields(document, "m.json"))


def test_what_is_read_may_not_be_absent() -> None:
    for path in (("model", "dims"), ("remarks",)):
        document = copy.deepcopy(DOCUMENT)
        held = document[path[0]] if len(path) > 1 else document
        del held[path[-1]]
        with pytest.raises(UserError, match="is missing"):
            check_manifest(Fields(document, "m.json"))


def test_odd_values_are_told_and_never_crash() -> None:
    lines = []
    for document in odd_ones(DOCUMENT):
        try:
            check_manifest(Fields(document, "m.json"))
        except UserError as error:
            lines.append(str(error))
    assert len(lines) > 1000
    assert all(line.startswith("m.json") and len(line) < 300 for line in lines)


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("stages", 0, "weight_bytes"), True, "stages[0].weight_bytes: true is no integer"),
        (("stages", 1, "stage"), 0, "stages[1].stage: 0 is no integer of at least 1"),
        (("stages", 1, "inputs"), ["z"], 'stages[1].inputs: "z" is neither'),
        (("tensors", 0, "from"), 2, 'tensors[0].name: "h" is no output of stage 2'),
        (("tensors", 0, "to"), [1], "tensors[0].to: there is no stage 1"),
        (("outputs", 0, "stage"), None, 'outputs[0].name: "y" is neither'),
        (("inputs", 0, "shape"), [1e-308], "inputs[0].shape[0]: 1e-308 is no size"),
        (("stages",), [], "stages: there is no stage"),
        (("predicted", "stage_memory", 1, "state"), 0.5, "predicted.stage_memory[1].state: 0.5 is no integer"),
        (("predicted", "device", "peak_flops"), -1, "predicted.device: peak_flops is -1"),
        (("predicted", "constraints", "pins"), [["n0"]], "predicted.constraints.pins[0]: "),
    ],
)
def test_the_field_is_named(path: tuple[str | int, ...], value: Any, words: str) -> None:
    with pytest.raises(UserError) as caught:
        check_manifest(Fields(replaced(copy.deepcopy(DOCUMENT), path, value), "m.json"))
    assert words in str(caught.value)


def test_a_damaged_note_of_a_profile_is_told(tmp_path: Path) -> None:
    path = tmp_path / "g.graph.json"
    for note, words in (
        ({"dims": 3}, "profile.dims: 3 is no table"),
        ({"operators": [{"nodes": 1}]}, "profile.operators[0].nodes: 1 is no list"),
        ({"operators": [1]}, "profile.operators[0]: 1 is no table"),
    ):
        path.write_text(json.dumps({"profile": note}))
        with pytest.raises(UserError) as caught:
            read_note(str(path))
        assert words in str(caught.value)
    path.write_text("[" * 5000)
    assert read_note(str(path)) == {}


def test_a_field_and_no_remark_says_that_nodes_may_be_in_no_stage(tmp_path: Path) -> None:
    model = cast(ModelFile, SimpleNamespace(node_names=("n0", "n1", "n2"), placed=(0, 1, 2), path=Path("m.onnx")))
    document = {**DOCUMENT, "remarks": ["round 3 was left out: it takes too long"]}
    with pytest.raises(UserError, match="the stages are not of this model"):
        stages_of_nodes(Manifest(folder=tmp_path, document=document), model)
    found = stages_of_nodes(Manifest(folder=tmp_path, document={**DOCUMENT, "empty_stages": [1]}), model)
    assert found.tolist() == [0, 1, 1]
    with pytest.raises(UserError, match=r"empty_stages\[0\]: true is no integer"):
        check_manifest(Fields({**DOCUMENT, "empty_stages": [True]}, "m.json"))

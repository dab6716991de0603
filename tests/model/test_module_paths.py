"""Module paths of the names that torch's reader and torch's ONNX exporter give to nodes."""

from __future__ import annotations

import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.module_paths import dotted, matching_modules, module_paths


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("encoder.layer.3.output.dense.addmm", "encoder.layer.3.output.dense"),
        ("encoder.layer.3.attention.self.mul.2", "encoder.layer.3.attention.self"),
        ("transformer.add", "transformer"),
        ("mul", ""),
        ("mul.1", ""),
        ("/encoder/layer.3/output/dense/Add", "encoder.layer.3.output.dense"),
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("/layer1/layer1.0/downsample/downsample.0/Conv", "layer1.0.downsample.0"),
        ("/features/features.0/features.0.0/Conv", "features.0.0"),
        ("/Add", ""),
        ("/encoder/Add_1_output_0", "encoder"),
        ("n17", ""),
        ("", ""),
        ("...", ""),
        ("//", ""),
    ],
)
def test_a_name_tells_of_a_module(name: str, path: str) -> None:
    (found,) = module_paths([name])
    assert dotted(found).strip(".") == path


def test_elements_of_a_list_are_no_numbered_operators() -> None:
    paths = module_paths(["model.layers.0", "model.layers.1", "model.add.1", "model.add.2"])
    assert [dotted(path) for path in paths] == ["model.layers.0", "model.layers.1", "model", "model"]


def test_the_outermost_module_that_matches_counts() -> None:
    names = ["m.layers.0.mlp.layers.1.mm", "m.layers.0.add", "m.layers.1.add", "m.norm.mul", "head.mm", "add"]
    paths = module_paths(names)
    found = [None if module is None else dotted(module) for module in matching_modules(paths, ["layers.*"])]
    assert found == ["m.layers.0", "m.layers.0", "m.layers.1", None, None, None]
    found = [None if module is None else dotted(module) for module in matching_modules(paths, ["norm", "m/layers/1"])]
    assert found == [None, None, "m.layers.1", "m.norm", None, None]
    assert matching_modules(paths, ["m.*"])[0] == ("m", "layers")
    assert matching_modules(paths, ["layers.?"])[0] == ("m", "layers", "0")
    assert matching_modules(paths, []) == [None] * 6


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (["m.layers.0.add", "head.mm"], r"there are m\.layers\.\*"),
        (["features.conv", "head.mm"], "there are features, head"),
        (["n0", "n1"], "tell of no modules"),
    ],
)
def test_a_pattern_that_names_nothing_is_told(names: list[str], hint: str) -> None:
    with pytest.raises(UserError, match=rf"a\.json: no module is called 'layer\.\*' \(.*{hint}"):
        matching_modules(module_paths(names), ["layer.*"], "a.json")


def test_real_models_have_as_many_layers_as_they_say() -> None:
    for name, pattern, count in (("transformers-bert", "encoder.layer.*", 12), ("transformers-t5", "block.*", 12)):
        paths = module_paths(read_graph(f"testbed:{name}").node_names)
        assert len({module for module in matching_modules(paths, [pattern]) if module}) == count

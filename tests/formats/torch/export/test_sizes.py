"""Programs at other sizes than those of their example inputs, what their attention keeps, and what has gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from framework.deploy.torch.link import Link  # noqa: E402
from framework.deploy.torch.model import open_torch_model  # noqa: E402
from framework.deploy.torch.profile import profile_program  # noqa: E402
from framework.errors import UserError  # noqa: E402
from framework.formats import read_graph  # noqa: E402
from framework.formats.torch.export import files  # noqa: E402
from framework.formats.training import training_graph  # noqa: E402
from framework.model.graph import ModelGraph, PhysicalCosts  # noqa: E402
from framework.model.training import Training  # noqa: E402
from tests.formats.torch.programs import Attention, Grouped, Tied, tokens  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
Dim = torch.export.Dim


def costs_of(graph: ModelGraph) -> PhysicalCosts:
    assert isinstance(graph.costs, PhysicalCosts)
    return graph.costs


def opened(folder: Path) -> Path:
    """Write a program whose batch and length are open, with lengths of 2 to 64."""
    shapes = ({0: Dim("batch", max=64), 1: Dim("length", min=2, max=64)},)
    path = folder / "tied.pt2"
    torch.export.save(files.export(Tied(), (tokens(2, 8),), dynamic_shapes=shapes), path)
    return path


def test_open_dimensions_take_other_sizes(tmp_path: Path) -> None:
    path = opened(tmp_path)
    small, large = read_graph(path), read_graph(path, dims={"tokens.0": 6, "tokens.1": 16})
    assert large.node_names == small.node_names
    assert np.allclose(costs_of(large).flops, 6 * costs_of(small).flops)
    assert np.allclose(costs_of(large).tensor_bytes, 6 * costs_of(small).tensor_bytes)
    assert np.array_equal(costs_of(large).parameter_bytes, costs_of(small).parameter_bytes)
    model = open_torch_model(path, {"tokens.1": 3})
    assert model.feed()[0].shape == (2, 3)
    assert torch.equal(model.feed()[0], tokens(2, 8)[:, :3])
    assert model.read_graph({"tokens.1": 16}).sha256() == read_graph(path, dims={"tokens.1": 16}).sha256()
    profile = profile_program(model, warm_up=0, repetitions=3, link=Link(1e-4, 1e9))
    assert profile.note()["dims"] == {"tokens.1": 3}


@pytest.mark.parametrize(
    ("dims", "said"),
    [
        ({"length": 3}, r"no open dimension 'length' \(there are tokens.0, tokens.1, "),
        ({"tokens.1": 65}, r"the size of 'tokens.1' is 65 \(2 to 64 are allowed\)"),
    ],
)
def test_sizes_that_are_refused(tmp_path: Path, dims: dict[str, int], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_graph(opened(tmp_path), dims=dims)


def test_closed_programs_have_no_sizes_to_give() -> None:
    with pytest.raises(UserError, match=r"no open dimension 'x\.0' \(export it with dynamic_shapes"):
        files.read(Attention(), (torch.randn(2, 4, 16),), dims={"x.0": 2})


def test_attention_keeps_keys_and_values() -> None:
    graph = files.read(Attention(), (torch.randn(2, 4, 16),), kv_tokens=100)
    state = dict(zip(graph.node_names, costs_of(graph).state_bytes.tolist(), strict=True))
    # Two heads of 8 numbers, of keys and of values.
    assert {name: size for name, size in state.items() if size} == {"scaled_dot_product_attention": 100 * 2 * 16 * 4}
    assert any("1 attention node keeps keys and values of 100 tokens: 12,800 bytes" in text for text in graph.remarks)
    grouped = files.read(Grouped(), (torch.randn(2, 4, 32),), kv_tokens=10)
    assert costs_of(grouped).state_bytes.sum() == 10 * 2 * 2 * 8 * 4
    with pytest.raises(UserError, match="no call of the program is known as attention"):
        files.read(Tied(), (tokens(2, 5),), kv_tokens=10)


def test_frozen_parameters_have_no_gradients() -> None:
    module = Tied()
    whole = training_graph(files.read(module, (tokens(2, 5),)), Training())
    module.table.weight.requires_grad_(False)
    module.layers[0].requires_grad_(False)
    half = training_graph(files.read(module, (tokens(2, 5),)), Training())
    flops = [dict(zip(step.node_names, costs_of(step).flops.tolist(), strict=True)) for step in (whole, half)]
    inference = costs_of(files.read(module, (tokens(2, 5),))).flops
    once = dict(zip(half.node_names, inference.tolist(), strict=True))
    assert flops[0]["layers.1.linear"] == 3 * once["layers.1.linear"]
    # Nothing behind the second layer is trained, and its input has no gradient; the head has one of its input only.
    assert flops[1]["layers.0.linear"] == once["layers.0.linear"]
    assert flops[1]["layers.1.linear"] == 2 * once["layers.1.linear"]
    assert flops[1]["head.linear"] == 2 * once["head.linear"]
    assert whole.step is not None
    assert half.step is not None
    assert half.topology.m - half.step.gradients < whole.topology.m - whole.step.gradients

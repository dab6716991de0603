"""Layouts in the hands of the tools themselves: torch's pipelining, accelerate, torchtitan, Megatron's core."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch", reason="torch is not installed")

import pipebound  # noqa: E402
from framework.formats import read_graph  # noqa: E402
from framework.layouts.naive import named_split  # noqa: E402
from framework.layouts.write import write_split  # noqa: E402
from tests.layouts.graphs import result_of  # noqa: E402

STAGES = 3
LAYOUTS = ("split-spec", "device-map", "fqn-per-stage", "megatron")


class Layer(torch.nn.Module):  # type: ignore[misc]
    """A layer with a residual edge and a list within."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = torch.nn.LayerNorm(16)
        self.mlp = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.GELU(), torch.nn.Linear(32, 16))

    def forward(self, x: Any) -> Any:
        """Run it."""
        return x + self.mlp(self.norm(x))


class Decoder(torch.nn.Module):  # type: ignore[misc]
    """An embedding, positions that are a parameter of the model itself, layers, a head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Embedding(50, 16)
        self.positions = torch.nn.Parameter(torch.randn(8, 16))
        self.layers = torch.nn.ModuleList([Layer() for _ in range(7)])
        self.norm = torch.nn.LayerNorm(16)
        self.head = torch.nn.Linear(16, 50)

    def forward(self, tokens: Any) -> Any:
        """Run it."""
        x = self.embed(tokens) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


@pytest.fixture(scope="module")
def decoder() -> Any:
    torch.manual_seed(0)
    return Decoder().eval()


@pytest.fixture(scope="module")
def tokens() -> Any:
    return torch.arange(8)[None]


@pytest.fixture(scope="module")
def written(decoder: Any, tokens: Any) -> dict[str, Any]:
    graph = pipebound.from_torch(decoder, tokens.to("meta"))
    result = result_of(graph, named_split("even-layers", graph, STAGES), STAGES)
    texts = {name: write_split(result, graph, name).text for name in LAYOUTS}
    return {name: json.loads(text) if text[0] in "{[" else text.strip() for name, text in texts.items()}


def stage_of(parameter: str) -> int:
    """Seven layers in three stages: three, two, two."""
    if parameter.startswith("layers."):
        return (0, 0, 0, 1, 1, 2, 2)[int(parameter.split(".")[1])]
    return 0 if parameter.startswith(("embed", "positions")) else 2


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_torch_cuts_where_the_split_spec_says(written: dict[str, Any], decoder: Any, tokens: Any) -> None:
    from torch.distributed.pipelining import SplitPoint, pipeline

    assert set(written["split-spec"].values()) <= set(SplitPoint.__members__)
    spec = {module: SplitPoint[point] for module, point in written["split-spec"].items()}
    pipe = pipeline(decoder, (tokens,), split_spec=spec)
    assert pipe.num_stages == STAGES
    x = tokens
    for b in range(STAGES):
        stage = pipe.get_stage_module(b)
        names = {name for name, _ in stage.named_parameters()}
        assert names == {name for name, _ in decoder.named_parameters() if stage_of(name) == b}
        x = stage(x)
    assert torch.equal(x, decoder(tokens))


def test_accelerate_takes_the_device_map(written: dict[str, Any], decoder: Any) -> None:
    accelerate: Any = pytest.importorskip("accelerate", reason="accelerate is not installed")
    utils: Any = pytest.importorskip("accelerate.utils")
    places = written["device-map"]
    utils.check_device_map(decoder, places)
    # Two kinds of device that every machine has: a parameter on the meta device was sent to another stage.
    for b in range(STAGES):
        model = Decoder().eval()
        kinds = {name: "cpu" if place == b else "meta" for name, place in places.items()}
        accelerate.dispatch_model(model, kinds, main_device="cpu")
        for name, parameter in model.named_parameters():
            # What the model holds itself goes to the main device, whatever a map says.
            if name == "positions" and b:
                continue
            assert parameter.device.type == ("cpu" if stage_of(name) == b else "meta"), (b, name)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dynamo", [False, True])
def test_names_of_an_exported_onnx_model_tell_of_the_same_modules(
    dynamo: bool, written: dict[str, Any], tokens: Any, tmp_path: Path
) -> None:
    if dynamo:
        pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    path = tmp_path / "decoder.onnx"
    # A decoder of its own: torch's pipelining leaves marks in the modules that it splits.
    torch.onnx.export(Decoder().eval(), (tokens,), path, dynamo=dynamo)
    graph = read_graph(path)
    result = result_of(graph, named_split("even-layers", graph, STAGES), STAGES)
    for name in LAYOUTS:
        text = write_split(result, graph, name).text
        assert (json.loads(text) if text[0] in "{[" else text.strip()) == written[name]


@pytest.mark.filterwarnings("ignore")
def test_torchtitan_keeps_the_modules_of_each_part(written: dict[str, Any], decoder: Any) -> None:
    titan: Any = pytest.importorskip("torchtitan.distributed.pipeline_parallel", reason="torchtitan is not installed")
    for b, names in enumerate(written["fqn-per-stage"]):
        part = titan._split_module(decoder, names)
        kept = [layer for i, layer in enumerate(decoder.layers) if stage_of(f"layers.{i}") == b]
        assert len(part.layers) == len(kept) > 0
        for ours, theirs in zip(part.layers, kept, strict=True):
            assert torch.equal(ours.mlp[0].weight, theirs.mlp[0].weight)
        assert (part.embed is not None) == (b == 0)
        assert (part.head is not None) == (part.norm is not None) == (b == STAGES - 1)


@pytest.mark.filterwarnings("ignore")
def test_megatron_reads_the_layout(written: dict[str, Any], decoder: Any) -> None:
    megatron: Any = pytest.importorskip(
        "megatron.core.transformer.pipeline_parallel_layer_layout", reason="megatron-core is not installed"
    )
    layout = megatron.PipelineParallelLayerLayout(written["megatron"], STAGES)
    layout.validate_layer_layout(len(decoder.layers), 0)
    kinds = [[layer.name for layer in stage] for (stage,) in layout.layout]
    assert kinds == [["embedding"] + ["decoder"] * 3, ["decoder"] * 2, ["decoder"] * 2 + ["loss"]]


def test_a_device_map_that_accelerate_infers_is_judged(decoder: Any, tokens: Any) -> None:
    accelerate: Any = pytest.importorskip("accelerate", reason="accelerate is not installed")
    from framework.layouts.read import read_split

    total = sum(parameter.nbytes for parameter in decoder.parameters())
    places = accelerate.infer_auto_device_map(
        decoder, max_memory={0: total // 2, 1: total}, no_split_module_classes=["Layer"]
    )
    graph = pipebound.from_torch(decoder, tokens.to("meta"))
    split = read_split(dict(places), graph, None)
    assert split.stages == 2
    for v, name in enumerate(graph.node_names):
        if name.startswith("layers."):
            assert split.stage_of[v] == places[".".join(name.split(".")[:2])]

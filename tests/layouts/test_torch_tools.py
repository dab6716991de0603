"""Layouts in the hands of the tools themselves: torch's pipelining, and accelerate."""

from __future__ import annotations

import json
from typing import Any

import pytest

torch: Any = pytest.importorskip("torch", reason="torch is not installed")

import pipebound  # noqa: E402
from framework.layouts.naive import named_split  # noqa: E402
from framework.layouts.write import write_split  # noqa: E402
from tests.layouts.graphs import result_of  # noqa: E402

STAGES = 3


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
    return {name: json.loads(write_split(result, graph, name).text) for name in ("split-spec", "device-map")}


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

"""The torch reader; skipped where torch, an optional dependency, is not installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from framework.errors import UserError  # noqa: E402
from framework.formats.torch import reader as torch_format  # noqa: E402
from framework.model.graph import ModelGraph, PhysicalCosts  # noqa: E402
from tests.formats.fx_edges import derive  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


def meta(*shape: int) -> Any:
    return torch.empty(shape, device="meta")


def costs_of(graph: ModelGraph) -> PhysicalCosts:
    assert isinstance(graph.costs, PhysicalCosts)
    return graph.costs


def edges_of(graph: ModelGraph) -> set[tuple[int, int]]:
    top = graph.topology
    tails = np.repeat(np.arange(top.n), np.diff(top.succ_ptr))
    return set(zip(tails.tolist(), top.succs.tolist(), strict=True))


def tensors_of(graph: ModelGraph) -> list[tuple[int, float, list[int]]]:
    top = graph.topology
    rows = [top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]].tolist() for t in range(top.m)]
    return list(zip(top.producer.tolist(), costs_of(graph).tensor_bytes.tolist(), rows, strict=True))


class Residual(nn.Module):
    """A convolutional network with residual connections, in-place activations and concatenation."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.left = nn.Conv2d(8, 8, 3, padding=1, groups=4)
        self.right = nn.Conv2d(8, 8, 1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Any) -> Any:
        x = self.act(self.norm(self.stem(x)))
        y = self.left(x)
        y += x
        both = torch.cat([self.act(y), self.right(x)], 1)
        return self.head(self.pool(both).flatten(1))


class Attention(nn.Module):
    """One block of self-attention written out, with a fused projection that is split."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(100, 32)
        self.qkv = nn.Linear(32, 96)
        self.out = nn.Linear(32, 100, bias=False)
        self.out.weight = self.table.weight

    def forward(self, ids: Any) -> Any:
        x = self.table(ids)
        q, k, v = self.qkv(x).chunk(3, -1)
        mask = torch.ones(ids.shape[1], ids.shape[1], dtype=torch.bool).tril()
        scores = (q @ k.transpose(-1, -2)).masked_fill(~mask, float("-inf"))
        return self.out(scores.softmax(-1) @ v + x)


class Recurrent(nn.Module):
    """A cell unrolled over time, whose gates are computed in place."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.GRUCell(6, 6)

    def forward(self, x: Any) -> Any:
        state = x.mean(1)
        states = []
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
            states.append(state)
        return torch.stack(states).sum(0)


def unet() -> nn.Module:
    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.Conv2d(3, 8, 3, stride=2, padding=1)
            self.middle = nn.Conv2d(8, 8, 3, padding=1)
            self.up = nn.ConvTranspose2d(8, 4, 2, stride=2)
            self.out = nn.Conv2d(7, 2, 1)

        def forward(self, x: Any) -> Any:
            y = torch.nn.functional.silu(self.down(x))
            y = self.up(self.middle(y) * y)
            return self.out(torch.cat([y, x], 1))

    return UNet()


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], Any]]] = {
    "residual": (Residual, lambda: (meta(2, 3, 16, 16),)),
    "attention": (Attention, lambda: (torch.arange(7)[None],)),
    "recurrent": (Recurrent, lambda: (meta(2, 4, 6),)),
    "unet": (unet, lambda: (meta(1, 3, 16, 16),)),
    "encoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(32, 4, 64, batch_first=True), 2),
        lambda: (meta(2, 10, 32),),
    ),
    "decoder": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(32, 4, 64, batch_first=True), 2),
        lambda: (meta(2, 10, 32), meta(2, 5, 32)),
    ),
}


def read(name: str) -> ModelGraph:
    build, inputs = MODELS[name]
    return torch_format.read(build, inputs())


def on_meta(name: str) -> tuple[nn.Module, tuple[Any, ...]]:
    build, inputs = MODELS[name]
    with torch.device("meta"):
        model = build().eval()
    return model, tuple(value.to("meta") for value in inputs())


@pytest.mark.parametrize("name", MODELS)
def test_edges_equal_those_of_a_functional_trace(name: str) -> None:
    graph = read(name)
    model, inputs = on_meta(name)
    with torch.device("meta"):
        operators, edges = derive(model, inputs)
    assert [op.removeprefix("aten.") for op in graph.ops] == operators
    assert edges_of(graph) == edges


@pytest.mark.parametrize("name", MODELS)
def test_operations_equal_those_of_torch(name: str) -> None:
    graph = read(name)
    model, inputs = on_meta(name)
    with torch.no_grad(), torch.device("meta"), FlopCounterMode(display=False) as counter:
        model(*inputs)
    counted = {str(op).split(".")[-1]: count for op, count in counter.get_flop_counts()["Global"].items()}
    assert counted
    ours: dict[str, float] = {}
    for op, flops in zip(graph.ops, costs_of(graph).flops.tolist(), strict=True):
        ours[op.removeprefix("aten.")] = ours.get(op.removeprefix("aten."), 0) + flops
    assert {op: ours[op] for op in counted} == counted


@pytest.mark.parametrize("name", MODELS)
def test_parameters_are_all_charged(name: str) -> None:
    build, inputs = MODELS[name]
    found = torch_format.capture(build, inputs())
    model = build()
    stored = {p.data_ptr(): p.nbytes for p in (*model.parameters(), *model.buffers())}
    assert found.module_bytes == sum(stored.values())
    assert found.parameters == sum(p.numel() for p in model.parameters())
    counters = sum(size for key, size in found.unused.items() if key.endswith("num_batches_tracked"))
    assert found.used_bytes == found.module_bytes - counters
    assert sum(found.unused.values()) == counters
    costs = costs_of(found.graph)
    assert costs.parameter_bytes.sum() + costs.shared_bytes.sum() == found.used_bytes


def test_views_of_parts_are_nodes_without_cost_and_carry_only_the_part() -> None:
    graph = read("attention")
    split = graph.ops.index("aten.split")
    assert graph.node_names[split] == "split"
    for column in (costs_of(graph).flops, costs_of(graph).accessed_bytes, costs_of(graph).parameter_bytes):
        assert column[split] == 0
    parts = [(size, consumers) for producer, size, consumers in tensors_of(graph) if producer == split]
    assert [size for size, _ in parts] == [7 * 32 * 4] * 3
    assert not {"aten.transpose", "aten.view", "aten.t"} & set(graph.ops)


def test_writes_in_place_make_versions() -> None:
    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            y = x * 2
            z = y + 1
            y[:, 0] = z[:, 0]
            y.mul_(3)
            return y - z

    graph = torch_format.read(Model(), (meta(4, 5),))
    named = {name: i for i, name in enumerate(graph.node_names)}
    assert list(graph.ops) == ["aten.mul", "aten.add", "aten.select", "aten.copy", "aten.mul", "aten.sub"]
    assert edges_of(graph) == {(0, 1), (1, 2), (2, 3), (0, 3), (3, 4), (4, 5), (1, 5)}
    assert named["mul.1"] == 0
    copied = [size for producer, size, _ in tensors_of(graph) if producer == 3]
    assert copied == [4 * 5 * 4]
    assert costs_of(graph).accessed_bytes[3] == 4 * 4 + 4 * 4


def test_constants_are_folded_into_their_users() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.direction = nn.Parameter(torch.empty(6, 4))
            self.scale = nn.Parameter(torch.empty(6, 1))
            self.tiny = nn.Parameter(torch.empty(4))

        def forward(self, x: Any) -> Any:
            weight = self.scale * self.direction / self.direction.norm(dim=1, keepdim=True)
            positions = torch.arange(x.shape[0], dtype=torch.float32)[:, None]
            table = self.tiny.expand(50, 4).clone()
            return (x + positions) @ weight.t() + table.sum(0).mean()

    found = torch_format.capture(Model, (meta(3, 4),))
    assert list(found.graph.ops) == ["aten.add", "aten.mm", "aten.add"]
    # Positions are computed from nothing; the weight is no larger than what it is made of; a number needs 4 bytes.
    assert costs_of(found.graph).parameter_bytes.tolist() == [0, 6 * 4 * 4, 4]
    assert costs_of(found.graph).accessed_bytes[0] == (12 + 3 + 12) * 4


def test_operations_that_are_no_part_of_the_graph_are_counted_apart() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left = nn.Linear(4, 4, bias=False)
            self.right = nn.Linear(4, 4, bias=False)

        def forward(self, x: Any) -> Any:
            self.right(x)
            return self.left(x) + self.left.weight @ self.right.weight

    found = torch_format.capture(Model, (meta(4, 4),))
    assert list(found.graph.ops) == ["aten.mm", "aten.add"]
    assert found.left_out_flops["aten.mm"] == 2 * 2 * 4 * 4 * 4
    assert costs_of(found.graph).flops[0] == 2 * 4 * 4 * 4


def test_values_steer_the_path_where_they_are_known() -> None:
    class Model(nn.Module):
        def forward(self, x: Any, lengths: Any) -> Any:
            for _ in range(int(lengths.max())):
                x = x.sin()
            return x[torch.arange(x.shape[0]) < lengths[0]]

    found = torch_format.capture(Model(), (meta(5, 2), torch.tensor([3, 1])))
    assert [op for op in found.graph.ops if op == "aten.sin"] == ["aten.sin"] * 3
    assert not found.guesses
    assert costs_of(found.graph).accessed_bytes[-1] > 0


def test_what_only_weights_could_tell_is_guessed_and_said() -> None:
    class Router(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate = nn.Linear(4, 8)
            self.experts = nn.ModuleList(nn.Linear(4, 4) for _ in range(8))

        def forward(self, x: Any) -> Any:
            chosen = self.gate(x).topk(2).indices
            result = torch.zeros_like(x)
            for i, expert in enumerate(self.experts):
                rows, _ = torch.where(chosen == i)
                result.index_add_(0, rows, expert(x[rows]))
            return result

    found = torch_format.capture(Router, (meta(16, 4),), routed_share=1 / 8)
    products = [i for i, op in enumerate(found.graph.ops) if op == "aten.addmm"]
    # Of 32 routed tokens each of 8 experts gets 4.
    assert costs_of(found.graph).flops[products].tolist() == [2 * 16 * 4 * 8] + [2 * 4 * 4 * 4] * 8
    assert found.guesses == {"mask": 8}
    assert "guessed: mask 8" in found.graph.remarks[-1]


def test_random_numbers_in_the_forward_pass_are_nodes() -> None:
    class Model(nn.Module):
        def forward(self, x: Any) -> Any:
            return x + torch.randn(3)

    graph = torch_format.read(Model(), (meta(3),))
    assert list(graph.ops) == ["aten.randn", "aten.add"]


def test_a_real_module_is_not_changed() -> None:
    model = Residual().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    graph = torch_format.read(model, (torch.rand(2, 3, 16, 16),))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(part.training for part in model.modules())
    assert graph.sha256() == torch_format.read(Residual, (meta(2, 3, 16, 16),)).sha256()


def test_modes_of_training_come_back_one_by_one() -> None:
    model = Residual().train()
    model.norm.eval()
    torch_format.read(model, (meta(2, 3, 16, 16),))
    assert not model.norm.training
    assert model.act.training


def test_exported_programs_are_read() -> None:
    model = Residual().eval()
    exported = torch.export.export(model, (torch.rand(2, 3, 16, 16),))
    graph = torch_format.read(exported, name="Residual")
    ours = read("residual")
    # Export makes writes in place functional, which changes neither operations nor edges.
    assert costs_of(graph).flops.tolist() == costs_of(ours).flops.tolist()
    assert edges_of(graph) == edges_of(ours)
    assert costs_of(graph).parameter_bytes.tolist() == costs_of(ours).parameter_bytes.tolist()


def test_a_large_model_takes_no_memory() -> None:
    found = torch_format.capture(lambda: nn.Linear(1 << 20, 1 << 20), (meta(1, 1 << 20),))
    assert found.module_bytes == 4 * ((1 << 40) + (1 << 20))
    assert found.graph.topology.n == 1


def test_names_inputs_and_nested_results() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 3), nn.Tanh())

        def forward(self, values: dict[str, Any], *, scale: Any = None) -> Any:
            return {"out": (self.inner(self.inner(values["x"])) * scale, [3])}

    graph = torch_format.read(
        Model, ({"x": meta(2, 3)},), {"scale": torch.tensor(2.0)}, name="nested", source="a test", batch=2
    )
    assert graph.node_names == ("inner.0.addmm.1", "inner.1.tanh.1", "inner.0.addmm.2", "inner.1.tanh.2", "mul")
    assert (graph.name, graph.source, graph.batch, graph.dtype) == ("nested", "a test", 2, "float32")


def test_mistakes_get_one_line() -> None:
    def refused(module: Any, *inputs: Any, **keywords: Any) -> str:
        with pytest.raises(UserError) as caught:
            torch_format.read(module, inputs, **keywords)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    class Constant(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.ones(3)

    class Leaves(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.from_numpy(x.numpy())

    def breaks() -> nn.Module:
        raise KeyError("config")

    assert re.match(r"Linear: the forward pass failed: RuntimeError: .*reduction", refused(nn.Linear(3, 3), meta(2, 4)))
    assert re.search(
        r"building the module failed at .*test_reader.py:\d+ in breaks: KeyError: 'config'", refused(breaks, meta(1))
    )
    assert "nothing that it returns depends on an input" in refused(Constant(), meta(1))
    assert "forward leaves torch with values that are unknown" in refused(Leaves(), meta(1))
    assert "this is a int, not a torch module" in refused(lambda: 3, meta(1))
    assert "give a share above 0" in refused(nn.Linear(3, 3), meta(2, 3), routed_share=0.0)

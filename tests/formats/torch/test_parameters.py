"""Parameters of traced modules: what is one in memory is one in the graph, whoever uses it."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch import nn  # noqa: E402

from framework.formats.torch import reader as torch_format  # noqa: E402
from framework.model.graph import ModelGraph  # noqa: E402
from tests.formats.torch.test_reader import Attention, costs_of, meta  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

Shared = list[tuple[str, float, list[str]]]


def shared_of(graph: ModelGraph) -> Shared:
    """Name, bytes and the operators of the users of each shared parameter."""
    ptr, users = graph.shared.ptr, graph.shared.users
    return [
        (name, size, [graph.ops[v].removeprefix("aten.") for v in users[ptr[q] : ptr[q + 1]]])
        for q, (name, size) in enumerate(zip(graph.shared_names, costs_of(graph).shared_bytes.tolist(), strict=True))
    ]


def private_of(graph: ModelGraph) -> list[float]:
    return [size for size in costs_of(graph).parameter_bytes.tolist() if size]


class TakesParts(nn.Module):
    """Nodes that use all of a matrix, its first rows, its last rows, and a column."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(10, 4))

    def forward(self, x: Any) -> Any:
        return x + self.weight, x[:6] * self.weight[:6], x[:6] - self.weight[4:], x[:, :1] / self.weight[:, :1]


def test_a_tied_table_is_one_parameter_of_both_users() -> None:
    graph = torch_format.read(Attention, (torch.arange(7)[None],))
    assert shared_of(graph) == [("table.weight", 100 * 32 * 4, ["embedding", "mm"])]
    assert private_of(graph) == [(32 * 96 + 96) * 4]
    assert graph.remarks == ()


def test_real_and_exported_modules_share_alike() -> None:
    ids = torch.arange(7)[None]
    built = torch_format.read(Attention, (ids,))
    assert torch_format.read(Attention(), (ids,)).sha256() == built.sha256()
    exported = torch_format.read(torch.export.export(Attention().eval(), (ids,)))
    assert [(size, users) for _, size, users in shared_of(exported)] == [
        (size, users) for _, size, users in shared_of(built)
    ]


def test_the_steps_of_a_recurrent_layer_share_its_weights() -> None:
    found = torch_format.capture(lambda: nn.LSTM(8, 16, num_layers=2, bidirectional=True), (meta(5, 3, 8),))
    costs = costs_of(found.graph)
    assert costs.parameter_bytes.sum() + costs.shared_bytes.sum() == found.used_bytes == found.module_bytes
    steps = [(size, users) for name, size, users in shared_of(found.graph) if name.startswith("weight_hh")]
    assert steps == [(4 * 16 * 16 * 4, ["mm"] * 5)] * 4 or steps == [(4 * 16 * 16 * 4, ["addmm"] * 5)] * 4


def test_a_module_that_runs_twice_is_held_once() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)
            self.register_buffer("shift", torch.empty(8))

        def forward(self, x: Any) -> Any:
            return self.layer(self.layer(x) + self.shift) - self.shift

    graph = torch_format.read(Twice, (meta(3, 8),))
    assert sorted(shared_of(graph)) == [
        ("layer.bias", 32, ["addmm"] * 2),
        ("layer.weight", 256, ["addmm"] * 2),
        ("shift", 32, ["add", "sub"]),
    ]
    assert private_of(graph) == []


def test_parts_that_overlap_share_what_they_have_in_common() -> None:
    found = torch_format.capture(TakesParts, (meta(10, 4),))
    assert shared_of(found.graph) == [
        ("weight", 4 * 16, ["add", "mul"]),
        ("weight", 2 * 16, ["add", "mul", "sub"]),
        ("weight", 4 * 16, ["add", "sub"]),
    ]
    # A column lies in many pieces: it counts beside the matrix.
    assert private_of(found.graph) == [40]
    assert found.used_bytes == found.module_bytes + 40


def test_a_folded_result_is_one_parameter_and_what_it_is_made_of_are_several() -> None:
    class Folded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(8, 8))
            self.scale = nn.Parameter(torch.empty(8, 1))
            self.tiny = nn.Parameter(torch.empty(4))

        def forward(self, x: Any) -> Any:
            scaled = self.weight * self.scale
            wide = self.tiny.repeat(2)
            return (x @ scaled) @ scaled + wide, x + wide, x[:, :4] + self.tiny

    graph = torch_format.read(Folded, (meta(3, 8),))
    assert shared_of(graph) == [
        ("weight, scale", 256, ["mm", "mm"]),
        ("tiny", 16, ["add", "add", "add"]),
    ]
    assert private_of(graph) == []


def test_a_remark_says_of_which_table_only_rows_are_used() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(1000, 8)
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            return self.layer(x + self.table(torch.arange(x.shape[0])))

    found = torch_format.capture(Positions, (meta(5, 8),))
    assert private_of(found.graph) == [5 * 8 * 4, (64 + 8) * 4]
    assert found.graph.remarks == (
        "of 1 parameter only a part is used (rows of a table, or what is computed from them), "
        "160 of 32000 bytes: 'table.weight'",
    )


def test_a_weight_that_is_computed_anew_for_each_run_of_its_module_is_one_parameter() -> None:
    class Siamese(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.utils.parametrizations.weight_norm(nn.Linear(8, 8, bias=False))

        def forward(self, x: Any, y: Any) -> Any:
            return self.layer(x) - self.layer(y)

    found = torch_format.capture(Siamese, (meta(3, 8), meta(3, 8)))
    ((name, size, users),) = shared_of(found.graph)
    assert name == "layer.parametrizations.weight.original1, layer.parametrizations.weight.original0"
    assert (size, users) == (256, ["mm", "mm"])
    assert private_of(found.graph) == []


def test_constants_that_differ_in_an_argument_or_were_written_are_others() -> None:
    class Differing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(8, 8))

        def forward(self, x: Any) -> Any:
            one, two, three = self.weight * 2, self.weight * 2.0, self.weight * 2
            three[0] = 1
            return x @ one + x @ two + x @ three + x @ (self.weight * 2)

    graph = torch_format.read(Differing, (meta(3, 8),))
    assert [size for _, size, _ in shared_of(graph)] == [256]
    assert private_of(graph) == [256, 256]

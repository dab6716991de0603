"""Graphs of exported programs; skipped where torch, an optional dependency, is not installed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch import nn  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode, flop_registry  # noqa: E402

from framework.errors import UserError  # noqa: E402
from framework.formats import read_graph  # noqa: E402
from framework.formats.torch.export.files import export, program_of, read  # noqa: E402
from framework.formats.torch.export.graph import costs_of_calls  # noqa: E402
from framework.model.graph import ModelGraph, PhysicalCosts  # noqa: E402
from tests.formats.torch.programs import Attention, Branches, Counting, Tied, Written, tokens  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


def costs_of(graph: ModelGraph) -> PhysicalCosts:
    assert isinstance(graph.costs, PhysicalCosts)
    return graph.costs


def edges_of(graph: ModelGraph) -> set[tuple[str, str]]:
    top = graph.topology
    rows = [top.consumers[top.consumer_ptr[t] : top.consumer_ptr[t + 1]] for t in range(top.m)]
    names = graph.node_names
    return {(names[u], names[v]) for u, row in zip(top.producer, rows, strict=True) for v in row}


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.lstm = nn.Embedding(32, 8), nn.LSTM(8, 12, 2, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.lstm(self.table(x))[0]


def test_nodes_are_live_calls_called_by_their_modules() -> None:
    graph = read(Tied(), (tokens(2, 5),))
    assert graph.name == "Tied"
    assert graph.node_names[:4] == ("table.embedding", "layers.0.linear", "relu.1", "add.1")
    assert graph.node_names[-1] == "head.linear"
    assert len(graph.node_names) == 11
    assert ("add.1", "layers.1.linear") in edges_of(graph)
    assert ("add.1", "add.2") in edges_of(graph)


def test_a_tied_weight_is_one_shared_parameter() -> None:
    graph = read(Tied(), (tokens(2, 5),))
    costs = costs_of(graph)
    # torch calls a tied weight by one of its names.
    assert graph.shared_names in [("table.weight",), ("head.weight",)]
    assert graph.shared.users.tolist() == [0, 10]
    assert costs.shared_bytes.tolist() == [32 * 16 * 4]
    assert costs.parameter_bytes[1] == (16 * 16 + 16) * 4
    assert costs.parameter_bytes[0] == costs.parameter_bytes[10] == 0


def test_a_part_of_a_table_is_charged_whole_since_a_stage_holds_it_whole() -> None:
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(64, 4)

        def forward(self, x: Any) -> Any:
            return x + self.table(torch.arange(x.shape[0]))

    costs = costs_of(read(Positions(), (torch.randn(3, 4),)))
    assert costs.parameter_bytes.tolist() == [64 * 4 * 4]


def test_chunks_belong_to_what_is_taken_apart_and_constants_to_nobody() -> None:
    graph = read(Branches(), (torch.randn(1, 3, 6, 6),), {"scale": torch.ones(())})
    assert not any("getitem" in name or "ones" in name or "tril" in name for name in graph.node_names)
    edges = edges_of(graph)
    assert {("stem.conv2d", "left.conv2d"), ("stem.conv2d", "right.conv2d"), ("stem.conv2d", "mean")} <= edges


def test_views_cost_nothing_and_are_as_large_as_what_they_show() -> None:
    graph = read(Branches(), (torch.randn(1, 3, 6, 6),), {"scale": torch.ones(())})
    costs, top = costs_of(graph), graph.topology
    part = graph.node_names.index("slice.1" if "slice.1" in graph.node_names else "slice")
    assert costs.flops[part] == costs.accessed_bytes[part] == 0
    assert [costs.tensor_bytes[t] for t in range(top.m) if top.producer[t] == part] == [4 * 36 * 4]


@pytest.mark.parametrize(
    ("module", "args", "kwargs"),
    [
        (Tied(), (tokens(2, 5),), {}),
        (Branches(), (torch.randn(2, 3, 6, 6),), {"scale": torch.ones(())}),
        (nn.Sequential(nn.Conv1d(4, 6, 3, groups=2), nn.BatchNorm1d(6), nn.ReLU()), (torch.randn(2, 4, 9),), {}),
    ],
    ids=["tied", "branches", "conv"],
)
def test_operations_are_those_of_the_flop_counter(module: Any, args: Any, kwargs: Any) -> None:
    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*args, **kwargs)
    costs, _ = costs_of_calls(program_of(module, args, kwargs))
    counted = {f"aten.{packet.__name__}" for packet in flop_registry}
    ours = sum(flops for call in costs.values() for name, flops in call.operations.items() if name in counted)
    assert ours == counter.get_total_flops() > 0


def test_operations_of_fused_attention_and_recurrent_layers() -> None:
    attention = costs_of(read(Attention(), (torch.randn(3, 6, 16),)))
    products = 2 * (2 * 3 * 2 * 6 * 6 * 8) + 2 * 3 * 6 * 16 * 48
    assert products <= attention.flops.sum() <= 1.3 * products
    recurrent = read(Recurrent(), (tokens(2, 5),))
    products = 2 * 2 * 5 * 4 * 12 * ((8 + 12) + (12 + 12))
    assert products <= costs_of(recurrent).flops.sum() <= 1.3 * products


def test_a_program_is_made_functional() -> None:
    graph = read(Written(), (torch.randn(2, 8),))
    assert not any(op.endswith("_") for op in graph.ops)


def test_a_buffer_that_is_written_makes_its_readers_live() -> None:
    program = program_of(Counting(), (torch.randn(3, 4),))
    assert program.states == {"total"}
    graph = read(Counting(), (torch.randn(3, 4),))
    assert [op for op in graph.ops if "copy" in op] == []
    assert costs_of(graph).parameter_bytes.sum() + costs_of(graph).shared_bytes.sum() == (4 * 4 + 4 + 4) * 4


def test_sizes_of_a_dynamic_batch_are_no_nodes() -> None:
    class Flat(nn.Module):
        def forward(self, x: Any) -> Any:
            return x.reshape(x.shape[0] * 2, 4).relu().reshape(x.shape[0], -1) + torch.arange(x.shape[0])[:, None]

    batch = torch.export.Dim("batch", min=2, max=32)
    exported = export(Flat(), (torch.randn(4, 8),), dynamic_shapes=({0: batch},))
    graph = read(exported)
    assert not any("sym_size" in name or "mul" in name for name in graph.node_names)
    assert max(costs_of(graph).tensor_bytes) == 4 * 8 * 4


def test_files_are_read_as_the_programs_they_hold(tmp_path: Path) -> None:
    exported = export(Tied().eval(), (tokens(2, 5),))
    path = tmp_path / "tied.pt2"
    torch.export.save(exported, path)
    graph = read_graph(path)
    assert graph.name == "tied"
    assert graph.sha256() == read(exported).sha256() == read(path).sha256()
    assert len(graph.shared) == 1


class Harmful:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return Path.mkdir, (self.folder,)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.export.save(export(Tied().eval(), (tokens(2, 5),)), tmp_path / "tied.pt2")
    content = io.BytesIO()
    torch.save(((Harmful(tmp_path / "made"),), {}), content)
    with zipfile.ZipFile(tmp_path / "tied.pt2") as old, zipfile.ZipFile(tmp_path / "bad.pt2", "w") as new:
        for member in old.namelist():
            new.writestr(member, content.getvalue() if "sample_inputs" in member else old.read(member))
    with pytest.raises(UserError, match=r"bad\.pt2: torch\.export does not load it"):
        read_graph(tmp_path / "bad.pt2")
    assert not (tmp_path / "made").exists()


def test_a_file_that_is_damaged_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tied.pt2"
    torch.export.save(export(Tied().eval(), (tokens(2, 5),)), path)
    (tmp_path / "cut.pt2").write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match=r"cut\.pt2: torch\.export does not load it"):
        read_graph(tmp_path / "cut.pt2")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "weights.pt2")
    with pytest.raises(UserError, match=r"weights\.pt2: torch\.export does not load it"):
        read_graph(tmp_path / "weights.pt2")


def test_what_cannot_be_exported_names_the_line() -> None:
    class Odd(nn.Module):
        def forward(self, x: Any) -> Any:
            return x if x.sum() > 0 else -x

    with pytest.raises(UserError, match=r"Odd: torch\.export fails at .*test_graph\.py:\d+ in forward"):
        export(Odd(), (torch.randn(3),))
    with pytest.raises(UserError, match="this is a int, not a torch module"):
        export(3)


def test_a_program_without_live_calls_is_refused() -> None:
    class Same(nn.Module):
        def forward(self, x: Any) -> Any:
            return x

    with pytest.raises(UserError, match="nothing that the program returns depends on an input"):
        read(Same(), (torch.randn(3),))


def test_exporting_leaves_the_module_in_training() -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    assert not any("dropout" in name for name in read(module, torch.randn(2, 3)).node_names)
    assert module.training
    assert module[1].training

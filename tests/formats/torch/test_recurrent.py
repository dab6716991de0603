"""Recurrent layers in the torch reader, wherever their weights are; skipped where torch is not installed."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch import nn  # noqa: E402

from framework.errors import UserError  # noqa: E402
from framework.formats.torch import reader as torch_format  # noqa: E402
from tests.formats.torch.test_reader import costs_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

STEPS, BATCH, INPUT, HIDDEN = 5, 3, 8, 16
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
KINDS = pytest.mark.parametrize("kind", GATES)


def layer(kind: str, *args: Any, **keywords: Any) -> nn.Module:
    made: nn.Module = getattr(nn, kind)(INPUT, HIDDEN, *args, **keywords)
    return made


def products(module: Any, *inputs: Any) -> int:
    """Return the operations in matrix products of a module that is read."""
    graph = torch_format.read(module, inputs or None)
    pairs = zip(graph.ops, costs_of(graph).flops.tolist(), strict=True)
    return int(sum(flops for op, flops in pairs if op in ("aten.mm", "aten.addmm", "aten.bmm")))


def expected(kind: str, entries: int = STEPS * BATCH, width: int = INPUT, state: int = HIDDEN) -> int:
    return 2 * entries * GATES[kind] * HIDDEN * (width + state)


@KINDS
def test_a_layer_costs_the_same_wherever_it_is(kind: str) -> None:
    x = torch.randn(STEPS, BATCH, INPUT)
    assert products(layer(kind), x) == expected(kind)
    assert products(layer(kind), x.to("meta")) == expected(kind)
    assert products(lambda: layer(kind), x) == expected(kind)
    exported = torch.export.export(layer(kind).eval(), (x,))
    assert products(exported) == expected(kind)
    assert products(exported.run_decompositions({})) == expected(kind)
    assert torch_format.read(layer(kind), (x,)).sha256() == torch_format.read(lambda: layer(kind), (x,)).sha256()


@KINDS
def test_layers_directions_and_given_states(kind: str) -> None:
    x = torch.randn(BATCH, STEPS, INPUT)
    two = layer(kind, num_layers=2, bidirectional=True, batch_first=True, dropout=0.1)
    assert products(two, x) == 2 * expected(kind) + 2 * expected(kind, width=2 * HIDDEN)
    assert products(layer(kind), torch.randn(STEPS, INPUT)) == expected(kind, entries=STEPS)
    state = torch.zeros(1, BATCH, HIDDEN)
    given = (state, state) if kind == "LSTM" else state
    assert products(layer(kind), torch.randn(STEPS, BATCH, INPUT), given) == expected(kind)


def test_a_projected_state() -> None:
    projected = 2 * STEPS * BATCH * 4 * HIDDEN
    assert products(layer("LSTM", proj_size=4), torch.randn(STEPS, BATCH, INPUT)) == (
        expected("LSTM", state=4) + projected
    )


@KINDS
def test_packed_sequences_cost_their_entries(kind: str) -> None:
    class Packed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer(kind, batch_first=True)

        def forward(self, x: Any, lengths: Any) -> Any:
            packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
            padded, sizes = nn.utils.rnn.pad_packed_sequence(self.layer(packed)[0], batch_first=True)
            assert sizes.tolist() == lengths.tolist()
            return padded

    x = torch.randn(BATCH, STEPS, INPUT)
    assert products(Packed(), x, torch.tensor([5, 3, 4])) == expected(kind, entries=12)
    assert products(Packed, x, torch.tensor([5, 3, 4])) == expected(kind, entries=12)
    unknown = torch_format.capture(Packed(), (x, torch.empty(BATCH, dtype=torch.int64, device="meta")))
    assert unknown.guesses["lengths"] == 1
    with pytest.raises(UserError, match="lengths of packed sequences lie between 1 and 5"):
        products(Packed(), x, torch.tensor([5, 0, 4]))


@KINDS
def test_cells(kind: str) -> None:
    class Cells(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = getattr(nn, f"{kind}Cell")(INPUT, HIDDEN)

        def forward(self, x: Any) -> Any:
            state = None
            for step in x:
                state = self.cell(step, state)
            return state

    assert products(Cells(), torch.randn(STEPS, BATCH, INPUT)) == expected(kind)


def test_weights_on_several_devices_and_shared_ones() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.LSTM(HIDDEN, HIDDEN)
            self.first.weight_hh_l0 = nn.Parameter(self.first.weight_hh_l0.detach().to("meta"))
            self.second = self.first

        def forward(self, x: Any) -> Any:
            return self.second(self.first(x)[0])[0]

    found = torch_format.capture(Shared(), (torch.randn(STEPS, BATCH, HIDDEN),))
    assert not found.unused
    assert found.module_bytes == 4 * (2 * 4 * HIDDEN * HIDDEN + 2 * 4 * HIDDEN)
    flops = [f for op, f in zip(found.graph.ops, costs_of(found.graph).flops, strict=True) if op.endswith("mm")]
    assert sum(flops) == 2 * expected("LSTM", width=HIDDEN)


def test_scripted_layers_are_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match="give the module that it was made from"):
        products(torch.jit.script(nn.Sequential(layer("GRU"))), torch.randn(STEPS, BATCH, INPUT))

"""Stages on GPUs, as far as it can be tested without one: what is chosen, where tensors are, who speaks first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch import distributed, nn  # noqa: E402

from framework.deploy.torch.folding import fold  # noqa: E402
from framework.deploy.torch.placement import CORES, Backend, Place, choose_backend  # noqa: E402
from framework.deploy.torch.stage_process import Load, Run, Seat, Tensor, _Stage, join  # noqa: E402
from framework.errors import UserError  # noqa: E402
from framework.formats.torch.export.files import export  # noqa: E402
from framework.formats.torch.export.program import open_program  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
ELSEWHERE = Place(torch.device("meta"))


class Counter(nn.Module):
    """Makes tensors of its own, of sizes and from nothing, and uses a weight twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.ones(4))

    def forward(self, x: Any) -> Any:
        x = self.first(x) * self.scale + torch.arange(4, device=x.device)
        return self.second(x).to(torch.float64) + torch.zeros(x.shape[0], 1), x.cumsum(0)


def counting() -> Any:
    return fold(open_program(export(Counter(), (torch.ones(3, 4),)), "counter").module).module


def with_gpus(monkeypatch: pytest.MonkeyPatch, count: int, *, nccl: bool = True) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    monkeypatch.setattr(distributed, "is_nccl_available", lambda: nccl)


def test_nccl_is_chosen_where_torch_has_a_gpu_for_each_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    with_gpus(monkeypatch, 2)
    assert [choose_backend("auto", k) for k in (1, 2, 3)] == [Backend.NCCL, Backend.NCCL, Backend.GLOO]
    assert choose_backend("gloo", 2) is Backend.GLOO
    with pytest.raises(UserError, match="cannot connect 3 stages: torch finds 2 of them"):
        choose_backend("nccl", 3)
    with pytest.raises(UserError, match="no backend 'mpi'"):
        choose_backend("mpi", 2)
    with_gpus(monkeypatch, 2, nccl=False)
    assert choose_backend("auto", 2) is Backend.GLOO
    with_gpus(monkeypatch, 0)
    with pytest.raises(UserError, match="torch finds no GPU"):
        choose_backend("nccl", 1)


def test_a_process_joins_with_the_gpu_of_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[Any] = []
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr(torch.cuda, "set_device", said.append)
    monkeypatch.setattr(distributed, "init_process_group", lambda name, **given: said.append((name, given["rank"])))
    assert join(Seat(rank=2, size=3, meeting="/m", backend=Backend.NCCL, core=None)) == Place(torch.device("cuda", 2))
    assert said == [torch.device("cuda", 2), ("nccl", 2)]
    assert join(Seat(rank=1, size=3, meeting="/m", backend=Backend.GLOO, core=None)) == CORES
    assert said[2:] == [("gloo", 1)]


def test_a_module_elsewhere_computes_there_alone() -> None:
    module = counting()
    assert CORES.put_module(module) is module
    there = ELSEWHERE.put_module(module)
    results = there(ELSEWHERE.put(torch.ones(3, 4)))
    assert [(value.device.type, value.dtype) for value in results] == [("meta", torch.float64), ("meta", torch.float32)]
    # A weight that is used twice is held once, and the module that it came from stays where it was.
    assert sum(value.numel() for value in there.parameters()) == sum(value.numel() for value in module.parameters())
    assert {value.device.type for value in module.parameters()} == {"cpu"}


def test_a_stage_speaks_to_others_in_their_order(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[tuple[str, int, int, str]] = []
    waited: list[Any] = []

    def note(what: str, tensor: Any, peer: int, tag: int) -> Any:
        said.append((what, peer, tag, tensor.device.type))
        return SimpleNamespace(wait=lambda: None)

    for what in ("isend", "irecv"):
        monkeypatch.setattr(distributed, what, lambda t, peer, tag, what=what: note(what, t, peer, tag))
    stream = SimpleNamespace(synchronize=lambda: waited.append(None))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    torch.save([], tmp_path / "feed.pt")

    class Sum(nn.Module):
        def forward(self, a: Any, b: Any, c: Any) -> Any:
            return a + b, b * c

    module = open_program(export(Sum(), (torch.ones(2),) * 3), "sum").module
    rows: dict[str, Any] = {"name": "", "shape": (2,), "dtype": "float32"}
    job = Load(
        key="it",
        file=tmp_path / "none",
        stage_of=(),
        number=2,
        feed=tmp_path / "feed.pt",
        fed=(),
        received=tuple(Tensor(**rows, peer=peer, tag=tag) for peer, tag in ((1, 0), (0, 5), (0, 3))),
        outputs=("x", "y"),
        sent=tuple(
            Tensor(name=name, shape=(2,), dtype="float32", peer=peer, tag=tag)
            for name, peer, tag in (("x", 4, 7), ("x", 3, 7), ("y", 3, 6))
        ),
    )
    times = _Stage(job, module, ELSEWHERE).run(Run(key="it", items=2))
    receiving = [("irecv", peer, tag, "meta") for peer, tag in ((0, 3), (0, 5), (1, 0))]
    sending = [("isend", peer, tag, "meta") for peer, tag in ((3, 6), (3, 7), (4, 7))]
    assert said == [*receiving, *receiving, *sending, *sending]
    # The clock waits for what the GPU was asked for, before and after each item.
    assert len(waited) == 3 * 2
    assert (times.ended[1:] >= times.ended[:-1]).all()

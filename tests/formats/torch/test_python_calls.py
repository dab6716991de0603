"""What the torch reader makes of buffers, values that Python reads, exported control flow and wrapped tensors."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch import nn  # noqa: E402

from framework.errors import UserError  # noqa: E402
from framework.formats.torch import reader as torch_format  # noqa: E402
from tests.formats.torch.test_reader import costs_of  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

TABLE = 2 * 32 * 16 * 4


class Model(nn.Module):
    """A linear layer, a cache, and what a test does with them."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(16, 16)
        self.register_buffer("cache", torch.zeros(2, 32, 16))
        self._forward = forward

    def forward(self, *args: Any) -> Any:
        return self._forward(self, *args)


def capture(forward: Callable[..., Any], *inputs: Any) -> torch_format.Capture:
    return torch_format.capture(Model(forward), inputs or (torch.randn(2, 5, 16),))


def by_slice(model: Any, x: Any) -> Any:
    model.cache[:, : x.shape[1]] = model.linear(x)
    return x @ model.cache.transpose(-1, -2)


def by_index(model: Any, x: Any) -> Any:
    model.cache.index_copy_(1, torch.arange(x.shape[1]), model.linear(x))
    return x @ model.cache.transpose(-1, -2)


def by_roll(model: Any, x: Any) -> Any:
    model.cache.copy_(model.cache.roll(-x.shape[1], 1))
    model.cache[:, -x.shape[1] :] = model.linear(x)
    return x @ model.cache.transpose(-1, -2)


def the_written_part(model: Any, x: Any) -> Any:
    model.cache.narrow(1, 0, 5).copy_(model.linear(x))
    return x @ model.cache[:, :5].transpose(-1, -2)


def all_of_it(model: Any, x: Any) -> Any:
    model.cache.copy_(model.linear(x).repeat(1, 7, 1)[:, :32])
    return x @ model.cache.transpose(-1, -2)


@pytest.mark.parametrize("forward", [by_slice, by_index, by_roll, the_written_part, all_of_it])
def test_a_cache_that_is_written_and_read_is_used(forward: Callable[..., Any]) -> None:
    found = capture(forward)
    assert "cache" not in found.unused
    assert not found.graph.remarks
    charged = dict(zip(found.graph.ops, costs_of(found.graph).parameter_bytes.tolist(), strict=True))
    assert [size for op, size in charged.items() if "copy" in op] == [TABLE]
    assert not any(Model(forward).cache.flatten())


def test_a_cache_is_attended_to_wherever_it_is() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("cache", torch.zeros(1, 2, 32, 8))

        def forward(self, x: Any, position: Any) -> Any:
            self.cache.index_copy_(2, position, x)
            return nn.functional.scaled_dot_product_attention(x, self.cache, self.cache)

    found = torch_format.capture(Attends(), (torch.randn(1, 2, 1, 8), torch.tensor([3])))
    assert not found.unused
    built = torch_format.read(Attends, (torch.randn(1, 2, 1, 8), torch.tensor([3])))
    assert found.graph.sha256() == built.sha256()


def test_a_cache_that_nothing_reads_takes_no_part() -> None:
    def forward(model: Any, x: Any) -> Any:
        y = model.linear(x)
        model.cache[:, :5] = y
        return y * 2

    assert capture(forward).unused == {"cache": TABLE}


LEAVING: dict[str, Callable[..., Any]] = {
    "numpy": lambda model, x: torch.from_numpy(model.linear(x).detach().cpu().numpy()),
    "asarray": lambda model, x: torch.as_tensor(np.asarray(model.linear(x)) + 1),
    "ufunc": lambda model, x: torch.as_tensor(np.sin(model.linear(x))),
    "tolist": lambda model, x: torch.tensor(model.linear(x).tolist()),
    "item": lambda model, x: torch.full((3,), model.linear(x).sum().item()),
}


@pytest.mark.parametrize("how", LEAVING)
def test_leaving_torch_is_said_with_its_line(how: str) -> None:
    here = rf"test_python_calls\.py:{LEAVING[how].__code__.co_firstlineno}\b.*torch\.export"
    with pytest.raises(UserError, match=f"forward leaves torch, .*{here}"):
        capture(LEAVING[how])
    if how not in ("tolist", "item"):
        with pytest.raises(UserError, match=f"forward leaves torch with values that are unknown: numpy at .*{here}"):
            capture(LEAVING[how], torch.empty(2, 5, 16, device="meta"))


def test_the_advice_for_numpy_works() -> None:
    with torch.no_grad():
        exported = torch.export.export(Model(LEAVING["numpy"]), (torch.randn(2, 5, 16),), strict=True)
    assert torch_format.read(exported).topology.n


def test_what_is_computed_outside_beside_the_graph_is_a_remark() -> None:
    def forward(model: Any, x: Any) -> Any:
        y = model.linear(x)
        return y + float(np.mean(y.detach().numpy()))

    (remark,) = capture(forward).graph.remarks[-1:]
    assert re.search(r"outside torch is no part of the graph: numpy at \S*test_python_calls\.py:\d+$", remark)


def test_a_weight_that_python_reads_is_used() -> None:
    assert "cache" not in capture(lambda model, x: model.linear(x) * model.cache.sum().item()).unused


def test_an_error_of_the_module_is_named_with_its_line() -> None:
    def forward(model: Any, x: Any) -> Any:
        raise ValueError("heads [3] must\ndivide 16")

    def leaves(model: Any, x: Any) -> Any:
        raise SystemExit("no device")

    pattern = r"Model: the forward pass failed at \S*test_python_calls\.py:\d+ in {}: {}$"
    with pytest.raises(UserError, match=pattern.format("forward", r"ValueError: heads \[3\] must divide 16")):
        capture(forward)
    with pytest.raises(UserError, match=pattern.format("leaves", "SystemExit: no device")):
        capture(leaves)


def test_composite_operators_are_decomposed_in_inference_mode() -> None:
    def forward(model: Any, x: Any) -> Any:
        with torch.inference_mode():
            return model.linear(x)

    found = capture(forward).graph
    assert (list(found.ops), costs_of(found).flops.tolist()) == (["aten.addmm"], [2 * 10 * 16 * 16])


def test_devices_of_weights_and_inputs_agree() -> None:
    def forward(model: Any, x: Any) -> Any:
        assert x.device == model.linear.weight.device == model.cache.device
        return model.linear(x)

    assert capture(forward).graph.topology.n == 1


def test_control_flow_of_exported_programs() -> None:
    class Steps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(16, 16)
            self.layer = nn.GRU(16, 16)

        def forward(self, x: Any) -> Any:
            with torch.no_grad():
                x = self.layer(x)[0]
            with torch.autocast("cpu", dtype=torch.bfloat16):
                x = self.linear(x)
            return torch.cond(x.sum() > 0, lambda x: x.sin(), lambda x: x.cos(), (x,))

    graph = torch_format.read(torch.export.export(Steps(), (torch.randn(2, 3, 16),)))
    assert [op for op in graph.ops if op in ("aten.sin", "aten.cos")] in (["aten.sin"], ["aten.cos"])
    pairs = zip(graph.ops, costs_of(graph).flops.tolist(), strict=True)
    assert sum(flops for op, flops in pairs if op == "aten.addmm") == 2 * 6 * 16 * 16 + 2 * 6 * 3 * 16 * 32
    assert any("autocast is not applied" in remark for remark in graph.remarks)


def test_weights_that_wrap_others_are_read_inside() -> None:
    two = pytest.importorskip("torch.testing._internal.two_tensor")
    model = nn.Linear(3, 4, bias=False)
    weight = nn.Parameter(two.TwoTensor(torch.randn(4, 3), torch.randn(4, 3)))
    model.weight = weight
    found = torch_format.capture(model, (torch.randn(8, 3),))
    assert costs_of(found.graph).flops.tolist() == [2 * 8 * 12] * 2
    assert (found.module_bytes, found.used_bytes) == (96, 96)
    assert model.weight is weight


def test_grouped_products() -> None:
    class Experts(nn.Module):
        def __init__(self, dtype: Any) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(4, 16, 32, dtype=dtype))

        def forward(self, x: Any, ends: Any) -> Any:
            return torch._grouped_mm(x, self.weight, offs=ends)

    ends = torch.tensor([8, 16, 24, 32], dtype=torch.int32)
    for dtype in (torch.float32, torch.bfloat16):
        graph = torch_format.read(Experts(dtype), (torch.zeros(32, 16, dtype=dtype), ends))
        assert costs_of(graph).flops.tolist() == [2 * 32 * 16 * 32]


@pytest.mark.parametrize(
    ("module", "inputs", "said"),
    [
        (lambda: nn.LazyLinear(3), (torch.randn(2, 3),), "weight has no shape yet"),
        (lambda: nn.Linear(3, 3), (torch.eye(3).to_sparse(),), "an input is a tensor of layout sparse_coo"),
        (lambda: Model(lambda model, x: x.to_sparse()), (torch.eye(3),), "layout|meta"),
    ],
)
def test_tensors_without_dense_storage_are_refused(module: Any, inputs: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        torch_format.read(module(), inputs)


def test_inputs_may_be_one_tensor_or_keywords() -> None:
    x = torch.randn(8, 3)
    graphs = [torch_format.read(nn.Linear(3, 4), given) for given in ((x,), [x], x, {"input": x})]
    assert len({graph.sha256() for graph in graphs}) == 1

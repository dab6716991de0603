"""Stages of exported programs, run one after the other; skipped where torch is not installed."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch import nn  # noqa: E402

from framework.deploy.torch.folding import fold  # noqa: E402
from framework.deploy.torch.stages import cut_program  # noqa: E402
from framework.errors import UserError  # noqa: E402
from framework.formats.torch.export.files import program_of  # noqa: E402
from tests.deploy.torch.cuts import even, run_in_turn  # noqa: E402
from tests.formats.torch.programs import Branches, Counting, Tied, Written, tokens  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


CASES = [
    (Tied(), (tokens(2, 5),), {}),
    (Branches(), (torch.randn(2, 3, 6, 6),), {"scale": torch.ones(())}),
    (Written(), (torch.randn(2, 8),), {}),
]


@pytest.mark.parametrize("stages", [1, 2, 3, 5])
@pytest.mark.parametrize(("module", "args", "kwargs"), CASES, ids=["tied", "branches", "written"])
def test_stages_return_what_the_module_returns(module: Any, args: Any, kwargs: Any, stages: int) -> None:
    with torch.no_grad():
        expected = [leaf for leaf in torch.utils._pytree.tree_leaves(module(*args, **kwargs)) if hasattr(leaf, "shape")]
    program = program_of(module, args, kwargs)
    cut = cut_program(program, even(program, stages))
    assert len(cut) == min(stages, len(program.roots))
    found = run_in_turn(program, cut)
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_constants_are_copied_and_a_value_goes_straight_to_every_stage_that_uses_it() -> None:
    program = program_of(Branches(), (torch.randn(1, 3, 6, 6),), {"scale": torch.ones(())})
    first, second, third = cut_program(program, [min(i, 2) for i in range(len(program.roots))])
    assert first.outputs == ("stem.conv2d",)
    assert second.received == ("stem.conv2d",)
    assert "stem.conv2d" in third.received
    assert not any("ones" in name or "tril" in name for stage in (first, second, third) for name in stage.outputs)
    assert [program.inputs[i].name for i in third.fed] == ["scale"]


def test_a_tied_weight_is_one_tensor_in_both_stages() -> None:
    program = program_of(Tied(), (tokens(2, 5),))
    stages = cut_program(program, even(program, 2))
    tables = [
        next(tensor for _, tensor in stage.module.named_parameters() if tensor.shape == (32, 16)) for stage in stages
    ]
    assert tables[0].untyped_storage().data_ptr() == tables[1].untyped_storage().data_ptr()


def test_what_crosses_is_contiguous() -> None:
    class Turned(nn.Module):
        def forward(self, x: Any) -> Any:
            return (x * 2).transpose(0, 1).relu()

    program = program_of(Turned(), (torch.randn(3, 4),))
    turned = program.labels.index("transpose")
    first, _ = cut_program(program, [int(i > turned) for i in range(len(program.roots))])
    with torch.no_grad():
        (sent,) = first.module(torch.randn(3, 4))
    assert sent.shape == (4, 3)
    assert sent.is_contiguous()


def test_partitions_that_no_pipeline_can_run_are_refused() -> None:
    program = program_of(Tied(), (tokens(2, 5),))
    with pytest.raises(UserError, match=r"the partition sends 'relu\.1' back to 'add\.1'"):
        cut_program(program, [0, 0, 1, *([0] * 8)])
    with pytest.raises(UserError, match="the partition is of another program"):
        cut_program(program, [0])
    counting = program_of(Counting(), (torch.randn(3, 4),))
    with pytest.raises(UserError, match=r"use the buffer 'total', which the program writes .*--same-stage"):
        cut_program(counting, even(counting, 3))


def test_constants_are_computed_once() -> None:
    program = program_of(Branches(), (torch.randn(1, 3, 6, 6),), {"scale": torch.ones(())})
    folded = fold(program.module).module
    called = [str(call.target) for call in folded.graph.nodes if call.op == "call_function"]
    assert not any("ones" in name or "tril" in name for name in called)
    assert any("conv2d" in name for name in called)

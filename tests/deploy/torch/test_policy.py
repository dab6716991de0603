"""A partition in PyTorch's own pipelines; skipped where torch is not installed."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch import distributed  # noqa: E402
from torch.distributed import pipelining  # noqa: E402

from framework.deploy.torch.policy import split_policy  # noqa: E402
from framework.errors import UserError  # noqa: E402
from framework.formats.torch.export.files import program_of  # noqa: E402
from tests.deploy.torch.cuts import even  # noqa: E402
from tests.formats.torch.programs import Branches, Counting, Tied, Written, tokens  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

MICROBATCHES = 4


def results_of(pipe: Any, *args: Any, **kwargs: Any) -> list[Any]:
    with torch.no_grad():
        return [leaf for leaf in torch.utils._pytree.tree_leaves(pipe(*args, **kwargs)) if hasattr(leaf, "shape")]


@pytest.mark.parametrize("stages", [2, 3])
@pytest.mark.parametrize(
    ("module", "args", "kwargs"),
    [
        (Tied(), (tokens(2, 5),), {}),
        (Branches(), (torch.randn(1, 3, 6, 6),), {"scale": torch.ones(())}),
        (Written(), (torch.randn(2, 8),), {}),
    ],
    ids=["tied", "branches", "written"],
)
def test_a_pipe_cut_by_the_policy_computes_the_same(module: Any, args: Any, kwargs: Any, stages: int) -> None:
    module.eval()
    expected = results_of(module, *args, **kwargs)
    program = program_of(module, args, kwargs)
    pipe = pipelining.pipeline(module, args, kwargs, split_policy=split_policy(program, even(program, stages)))
    assert pipe.num_stages == stages
    for ours, theirs in zip(results_of(pipe, *args, **kwargs), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_the_policy_refuses_other_modules_and_programs_that_write_buffers() -> None:
    program = program_of(Tied(), (tokens(2, 5),))
    policy = split_policy(program, even(program, 2))
    with pytest.raises(UserError, match="the module is not the one that was exported: its inputs are x"):
        pipelining.pipeline(Written(), (torch.randn(2, 8),), split_policy=policy)
    counting = program_of(Counting(), (torch.randn(3, 4),))
    with pytest.raises(UserError, match="the program writes its buffer 'total'"):
        split_policy(counting, even(counting, 2))
    with pytest.raises(UserError, match="stage 1 is empty"):
        split_policy(program, [0] * 10 + [2])


def work(rank: int, meeting: str, folder: str) -> None:
    """Run both schedules on one of two processes; the last one writes what it got."""
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    module, whole = Tied(), tokens(2 * MICROBATCHES, 5)
    program = program_of(module, (whole[:2],))
    cut = split_policy(program, even(program, 2))
    found = {}
    for schedule in (pipelining.ScheduleGPipe, pipelining.Schedule1F1B):
        pipe = pipelining.pipeline(module, (whole[:2],), split_policy=cut)
        stage = pipe.build_stage(rank, torch.device("cpu"))
        runner = schedule(stage, MICROBATCHES, loss_fn=lambda out, target: ((out - target) ** 2).mean())
        target = torch.zeros(2 * MICROBATCHES, 5, 32)
        found[schedule.__name__] = runner.step(whole) if rank == 0 else runner.step(target=target)
        assert any(parameter.grad is not None for parameter in stage.submod.parameters())
    if rank == 1:
        torch.save(found, f"{folder}/found.pt")
    distributed.barrier()
    distributed.destroy_process_group()


@pytest.mark.slow
def test_both_schedules_run_forwards_and_backwards(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    arguments = [(rank, str(tmp_path / "meeting"), str(tmp_path)) for rank in range(2)]
    processes = [context.Process(target=work, args=given, daemon=True) for given in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=600)
        if process.is_alive():
            process.kill()
        assert process.exitcode == 0
    found = torch.load(tmp_path / "found.pt")
    assert set(found) == {"ScheduleGPipe", "Schedule1F1B"}
    with torch.no_grad():
        expected = Tied()(tokens(2 * MICROBATCHES, 5))
    for result in found.values():
        torch.testing.assert_close(result.detach(), expected)

"""Splits of exported programs, from a result to running processes; skipped where torch is not installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from framework.deploy.split.manifest import read_manifest  # noqa: E402
from framework.deploy.torch.model import TorchModel, open_torch_model  # noqa: E402
from framework.deploy.torch.pipeline import as_array  # noqa: E402
from framework.deploy.torch.split import split_program  # noqa: E402
from framework.deploy.tuning.subjects import open_subject  # noqa: E402
from framework.deploy.tuning.trial import SPLIT, UNSPLIT, run_trial  # noqa: E402
from framework.errors import UserError  # noqa: E402
from framework.formats.torch.export.files import export  # noqa: E402
from tests.formats.torch.programs import Attention, Branches, Counting, Tied, tokens  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")


def saved(folder: Path, module: Any, args: Any, kwargs: Any = None, dynamic: Any = None) -> TorchModel:
    path = folder / "model.pt2"
    torch.export.save(export(module.eval(), args, kwargs, dynamic_shapes=dynamic), path)
    return open_torch_model(path)


def even(model: TorchModel, stages: int) -> list[int]:
    n = len(model.node_names)
    return [i * stages // n for i in range(n)]


def test_files_and_manifest_of_a_tied_model(tmp_path: Path) -> None:
    model = saved(tmp_path, Tied(), (tokens(2, 5),))
    split_program(model, even(model, 3), tmp_path / "stages")
    manifest = read_manifest(tmp_path / "stages")
    assert manifest.document["runtime"] == "torch"
    assert [row["file"] for row in manifest.stages] == ["stage0.pt2", "stage1.pt2", "stage2.pt2"]
    assert [name for row in manifest.stages for name in row["nodes"]] == list(model.node_names)
    (shared,) = manifest.document["shared_weights"]
    assert (shared["bytes"], shared["stages"]) == (2048, [0, 2])
    assert shared["name"] in ("table.weight", "head.weight")
    assert manifest.document["outputs"] == [
        {"name": "head.linear", "dtype": "float32", "shape": [2, 5, 32], "stage": 2}
    ]
    assert {(row["from"], *row["to"]) for row in manifest.tensors} == {(0, 1), (1, 2)}
    assert all(row["bytes"] == 2 * 5 * 16 * 4 for row in manifest.tensors)


@pytest.mark.parametrize("stages", [2, 3, 9])
def test_what_lies_otherwise_after_a_cut_is_seen_alike(tmp_path: Path, stages: int) -> None:
    model = saved(tmp_path, Attention(), (torch.randn(2, 5, 16),))
    manifest = split_program(model, even(model, stages), tmp_path / "stages")
    assert len(manifest.stages) == stages


def test_an_open_batch_stays_open(tmp_path: Path) -> None:
    batch = {"tokens": {0: torch.export.Dim("batch", min=2, max=16)}}
    model = saved(tmp_path, Tied(), (tokens(2, 5),), dynamic=batch)
    manifest = split_program(model, even(model, 2), tmp_path / "stages")
    assert manifest.document["remarks"] == []
    first, second = (torch.export.load(tmp_path / "stages" / f"stage{i}.pt2").module() for i in (0, 1))
    more = tokens(7, 5)
    row = manifest.stages[1]
    results = dict(zip(manifest.stages[0]["outputs"], first(more), strict=True))
    (found,) = second(*(results[name] for name in row["inputs"]))
    with torch.no_grad():
        torch.testing.assert_close(found, Tied().eval()(more))


def test_stages_that_return_something_else_are_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = saved(tmp_path, Tied(), (tokens(2, 5),))
    monkeypatch.setattr("framework.deploy.torch.split.as_array", lambda tensor: as_array(tensor) + 1)
    with pytest.raises(UserError, match=r"the stages return something else than the program: 'head.linear' differs"):
        split_program(model, even(model, 2), tmp_path / "stages")
    assert not (tmp_path / "stages").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "args", "kwargs", "stages"),
    [
        (Tied(), (tokens(2, 5),), None, 2),
        (Branches(), (torch.randn(1, 3, 6, 6),), {"scale": torch.ones(())}, 3),
        (Counting(), (torch.randn(3, 4),), None, 1),
    ],
    ids=["tied", "branches", "counting"],
)
def test_processes_return_what_the_program_returns(
    tmp_path: Path, module: Any, args: Any, kwargs: Any, stages: int
) -> None:
    model = saved(tmp_path, module, args, kwargs)
    manifest = split_program(model, even(model, stages), tmp_path / "stages")
    with open_subject(manifest, affinity=False) as subject:
        trial = run_trial(manifest, subject, items=8, rounds=1)
    assert trial.equal
    assert trial.verdict.difference.value == 0
    names = [row.name for row in trial.rows]
    assert names[:2] == [SPLIT, UNSPLIT]
    assert len(trial.split.busy) == stages
    assert all(np.isfinite(row.period) for row in trial.rows)
    assert ("equal layers" in names) == isinstance(module, Tied)

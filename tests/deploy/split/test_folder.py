"""What a new split may replace: the files of an earlier split of the same model, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from framework.deploy.onnx_model import ModelFile, open_model
from framework.deploy.split import split as split_module
from framework.deploy.split.folder import check_target
from framework.deploy.split.manifest import read_manifest
from framework.deploy.split.split import split_model
from framework.errors import UserError
from tests.deploy.models import functions, residual, write


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return open_model(write(residual(), tmp_path / "m.onnx"))


def halves(model: ModelFile) -> list[int]:
    n = len(model.placed)
    return [2 * v // n for v in range(n)]


def edit_stage(folder: Path, **fields: object) -> None:
    """Write other names of files into the first stage of a manifest."""
    document = json.loads((folder / "manifest.json").read_text())
    document["stages"][0] |= fields
    (folder / "manifest.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    "name", ["../precious.onnx", "sub/stage1.onnx", "ABSOLUTE", "notes.txt", "..", "stage0.onnx/.."]
)
def test_a_manifest_cannot_name_files_to_delete(name: str, model: ModelFile, tmp_path: Path) -> None:
    out = tmp_path / "out"
    split_model(model, halves(model), out)
    (out / "sub").mkdir()
    precious = [tmp_path / "precious.onnx", out / "sub" / "stage1.onnx", out / "notes.txt"]
    for path in precious:
        path.write_text("mine")
    edit_stage(out, file=str(precious[0]) if name == "ABSOLUTE" else name)
    if "/" in name or name in ("ABSOLUTE", ".."):
        with pytest.raises(UserError, match=r"is not in this folder"):
            read_manifest(out)
    # The first stage is nobody's now; --force may replace it, and still nothing else.
    with pytest.raises(UserError, match="in the way"):
        split_model(model, [0] * len(model.placed), out)
    split_model(model, [0] * len(model.placed), out, force=True)
    assert [path.read_text() for path in precious] == ["mine"] * 3
    assert read_manifest(out).file_names() == ["stage0.onnx"]


def test_links_are_replaced_and_not_followed(model: ModelFile, tmp_path: Path) -> None:
    out, mine = tmp_path / "out", tmp_path / "mine.onnx"
    split_model(model, halves(model), out)
    mine.write_text("mine")
    for name in ("stage0.onnx", "stage1.onnx"):
        (out / name).unlink()
        (out / name).symlink_to(mine)
    split_model(model, [0] * len(model.placed), out)
    assert mine.read_text() == "mine"
    assert not (out / "stage0.onnx").is_symlink()
    assert not (out / "stage1.onnx").exists()


def test_a_linked_folder_of_weights_is_not_emptied(tmp_path: Path) -> None:
    made = residual()
    for tensor in made.graph.initializer:
        if tensor.name == "head":
            tensor.ClearField("raw_data")
    model = open_model(write(made, tmp_path / "m.onnx"))
    split_model(model, halves(model), tmp_path / "out")
    (tmp_path / "out" / "whole").rename(tmp_path / "elsewhere")
    (tmp_path / "out" / "whole").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="in the way"):
        split_model(model, halves(model), tmp_path / "out")
    assert (tmp_path / "elsewhere" / "m.onnx").is_file()
    assert read_manifest(tmp_path / "out").stages


def test_another_model_s_stages_need_force(model: ModelFile, tmp_path: Path) -> None:
    out = tmp_path / "out"
    split_model(model, halves(model), out)
    other = open_model(write(functions(), tmp_path / "other.onnx"))
    with pytest.raises(UserError, match=r"stages of another model, .*m\.onnx .*`force`"):
        split_model(other, [0] * len(other.placed), out)
    assert read_manifest(out).file_names() == ["stage0.onnx", "stage1.onnx"]
    (out / "notes.txt").write_text("mine")
    split_model(other, [0] * len(other.placed), out, force=True)
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "notes.txt", "stage0.onnx"]


def test_what_the_split_is_made_from_stays(model: ModelFile, tmp_path: Path) -> None:
    out = tmp_path / "out"
    split_model(model, halves(model), out)
    stage = open_model(out / "stage0.onnx")
    with pytest.raises(UserError, match="is needed"):
        split_model(stage, [0] * len(stage.placed), out, force=True)
    assert (out / "stage0.onnx").is_file()


def test_a_split_that_fails_leaves_all_as_it_was(
    model: ModelFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"

    def refuse(path: Path) -> str | None:
        raise UserError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(split_module, "check_stage", refuse)
        with pytest.raises(UserError, match="refused"):
            split_model(model, halves(model), out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.onnx"]
    split_model(model, halves(model), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with monkeypatch.context() as patch:
        patch.setattr(split_module, "check_stage", refuse)
        with pytest.raises(UserError, match="refused"):
            split_model(model, [0] * len(model.placed), out)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_an_interrupted_or_damaged_split_does_not_block_the_next(model: ModelFile, tmp_path: Path) -> None:
    out = tmp_path / "out"
    split_model(model, halves(model), out)
    document = json.loads((out / "manifest.json").read_text())
    (out / "manifest.json").write_text(json.dumps(document | {"incomplete": ["stage0.onnx", "stage7.onnx"]}))
    (out / "stage7.onnx").write_text("from before")
    (out / "stage1.onnx").unlink()
    (out / ".pipebound-999999999-abc").mkdir()
    with pytest.raises(UserError, match="was interrupted"):
        read_manifest(out)
    split_model(model, [0] * len(model.placed), out)
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "stage0.onnx"]
    (out / "manifest.json").write_text("{")
    with pytest.raises(UserError, match=r"not valid JSON.*`force`"):
        split_model(model, halves(model), out)
    split_model(model, halves(model), out, force=True)
    (out / "manifest.json").unlink()
    with pytest.raises(UserError, match="not empty"):
        check_target(out, model.path)
    split_model(model, [0] * len(model.placed), out, force=True)
    assert read_manifest(out).file_names() == ["stage0.onnx"]
    assert not (out / "stage1.onnx").exists()


def test_a_file_of_the_user_in_the_way_stays(model: ModelFile, tmp_path: Path) -> None:
    out = tmp_path / "out"
    split_model(model, [0] * len(model.placed), out)
    (out / "stage1.onnx").write_text("mine")
    with pytest.raises(UserError, match="in the way"):
        split_model(model, halves(model), out)
    assert (out / "stage1.onnx").read_text() == "mine"
    assert read_manifest(out).file_names() == ["stage0.onnx"]
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="not a folder"):
        split_model(model, halves(model), tmp_path / "file")


def test_nodes_without_names_of_their_own_get_some(tmp_path: Path) -> None:
    """onnxruntime refuses two nodes of one name, in a stage as in a model."""
    made = residual()
    for node, name in zip(made.graph.node, ["dup", "dup", "", "c0", "dup2", "dup2"], strict=False):
        node.name = name
    model = open_model(write(made, tmp_path / "m.onnx"))
    assert model.renamed
    manifest = split_model(model, halves(model), tmp_path / "out")
    names = [node.name for file in manifest.file_names() for node in onnx.load(tmp_path / "out" / file).graph.node]
    assert len(set(names)) == len(names)
    assert tuple(sorted(names)) == tuple(sorted(model.node_names))

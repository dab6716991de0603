"""Files that a user asked for are written whole or not at all; devices and pipes are written through."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from framework.cli.options import check_outputs
from framework.output_files import is_special, replacing
from tests.results import made_result


def fail_half_way(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError("full")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    with pytest.raises(OSError, match="full"):
        fail_half_way(path)
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["r.json"]


def test_a_link_goes_on_leading_to_its_file(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text("old")
    (tmp_path / "link").symlink_to("r.json")
    with replacing(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "r.json").read_text() == "new"


def test_special_files_are_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    made_result().write(pipe)
    reader.join(10)
    assert read == [made_result().to_json() + "\n"]
    assert os.listdir(tmp_path) == ["pipe"]
    assert pipe.is_fifo()


def test_which_files_are_special(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "null").symlink_to(os.devnull)
    assert is_special(Path(os.devnull))
    assert is_special(tmp_path / "null")
    assert is_special(Path("/dev/fd/1"))
    assert not is_special(tmp_path / "file")
    assert not is_special(tmp_path / "absent")
    check_outputs([Path(os.devnull)], [])

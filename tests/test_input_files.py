"""Bounded reading: whatever a path leads to, reading it ends, and takes no more memory than the limit allows."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from framework import input_files
from framework.cli import app
from framework.errors import UserError
from framework.formats import read_graph, text_proto
from framework.formats.source import parse_json
from framework.formats.text_proto import Document
from framework.input_files import LIMIT_VARIABLE, read_bytes, read_text, reading_deadline, reading_until
from framework.model.device import load_device
from framework.study.spec import read_spec


def special_files(folder: Path) -> list[tuple[Path, str]]:
    os.mkfifo(folder / "pipe.toml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s.toml"))
    (folder / "folder.toml").mkdir()
    (folder / "zero.toml").symlink_to("/dev/zero")
    return [
        (folder / "pipe.toml", "this is a pipe"),
        (folder / "s.toml", "this is a socket"),
        (folder / "folder.toml", "this is a directory"),
        (folder / "zero.toml", "this is a device"),
    ]


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    for path, what in special_files(tmp_path):
        readers: list[Callable[[Path], object]] = [read_graph, lambda p: load_device(str(p)), read_spec, read_text]
        for read in readers:
            with pytest.raises(UserError, match=what):
                read(path)


def test_a_file_above_the_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "g"
    path.write_bytes(b"x" * 2000)
    monkeypatch.setenv(LIMIT_VARIABLE, "1kB")
    with pytest.raises(UserError, match=r"2000 bytes are more than the limit .*`PIPEBOUND_MAX_INPUT=1GB`"):
        read_bytes(path)
    monkeypatch.setenv(LIMIT_VARIABLE, "2kB")
    assert len(read_bytes(path)) == 2000
    monkeypatch.setenv(LIMIT_VARIABLE, "0")
    with pytest.raises(UserError, match="no size limit"):
        read_bytes(path)


@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress])
def test_what_unpacks_to_far_more_than_its_size_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "bomb.json"
    path.write_bytes(pack(b" " * 10_000_000))
    monkeypatch.setattr(input_files, "SUSPECT_BYTES", 10**5)
    with pytest.raises(UserError, match=r"data unpacks to more than \d+ bytes"):
        read_graph(path)
    monkeypatch.setenv(LIMIT_VARIABLE, "20MB")
    assert len(read_bytes(path)) == 10_000_000


def test_packed_streams_may_follow_each_other(tmp_path: Path) -> None:
    packers: list[Callable[[bytes], bytes]] = [gzip.compress, lzma.compress]
    for i, pack in enumerate(packers):
        path = tmp_path / str(i)
        path.write_bytes(pack(b"one") + pack(b"two") + b"\0" * 8)
        assert read_bytes(path) == b"onetwo"
        path.write_bytes(pack(b"one" * 1000)[:-9])
        with pytest.raises(UserError, match="data is damaged"):
            read_bytes(path)


def test_json_of_many_values_is_refused_before_it_is_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1MB")
    with pytest.raises(UserError, match="JSON values are too many"):
        parse_json(b"[" + b"[]," * 20_000 + b"[]]", "f")
    assert parse_json(b"[1, 2]", "f") == [1, 2]
    with pytest.raises(UserError, match="nested too deep"):
        parse_json(b"[" * 5000, "f")
    with pytest.raises(UserError, match="not valid JSON"):
        parse_json(b"[" + b"9" * 5000 + b"]", "f")
    with pytest.raises(UserError, match="tokens are too many"):
        Document("a: 1\n" * 20_000, "f")


def test_a_small_file_is_read_however_late_the_run_is() -> None:
    now = time.monotonic()
    assert reading_deadline(now, 600) == now + 420
    assert reading_deadline(now - 100, 0.5) >= now + 2
    assert reading_deadline(now - 100, 60) <= time.monotonic() + 4


@pytest.mark.parametrize("command", ["solve -k 2", "recommend -k 1..2", "compare simple -k 2"])
def test_every_command_with_a_budget_reads_within_it(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    deadlines: list[float] = []

    def read(path: str, *, deadline: float, **options: object) -> None:
        deadlines.append(deadline)
        raise UserError("enough")

    monkeypatch.setattr("framework.formats.read_graph", read)
    name, *rest = command.split()
    now = time.monotonic()
    ended = CliRunner().invoke(app, [name, "g.json", *rest, "--budget", "50s"])
    assert isinstance(ended.exception, UserError)
    assert now + 35 <= deadlines[0] <= time.monotonic() + 35


def test_a_text_is_parsed_with_looks_at_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    monkeypatch.setattr(text_proto, "check_deadline", looks.append)
    long_list = Document("a: [" + "1, " * 100_000 + "1]", "f")
    many_fields = Document("a { " + "b: 1 " * 100_000 + "}", "f")
    for document in (long_list, many_fields):
        looks.clear()
        assert len(list(document)) > 0
        assert len(looks) > 40
        looks.clear()
        assert document.place(100_000) == "f, line 1"
        assert len(looks) > 20


def test_reading_ends_at_the_deadline(tmp_path: Path) -> None:
    path = tmp_path / "chain.graph.json"
    nodes = [{"name": f"n{i}", "work": 1, "parameter_cost": 0} for i in range(3000)]
    text = {"format": "pipebound-graph", "version": 1, "cost_unit": "ms", "nodes": nodes, "tensors": []}
    path.write_text(json.dumps(text))
    assert read_graph(path, deadline=time.monotonic() + 600).topology.n == 3000
    with pytest.raises(UserError, match="the budget ended while this was read"):
        read_graph(path, deadline=time.monotonic())
    data = path.read_bytes()
    with reading_until(time.monotonic()), pytest.raises(UserError, match="the budget ended"):
        parse_json(data, "f")
    assert read_graph(path).topology.n == 3000

"""Keys and values of attention, as a user asks for them and as results, `verify` and `split` carry them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.formats.onnx.operators.test_kept import model_of

WIDTH = 64


def write_decoder(path: Path) -> None:
    """Write a model of two attention nodes with an activation between them."""
    attributes = {"num_heads": 4}
    nodes = [
        ("MultiHeadAttention", "com.microsoft", ["x", "x", "x"], ["a"], attributes),
        ("Relu", "", ["a"], ["b"], {}),
        ("MultiHeadAttention", "com.microsoft", ["b", "b", "b"], ["y"], attributes),
    ]
    path.write_bytes(model_of(nodes, {"x": (1, 6, WIDTH)}, {"y": (1, 6, WIDTH)}))


def test_keys_and_values_are_held(pipebound: Run, tmp_path: Path) -> None:
    write_decoder(tmp_path / "m.onnx")
    ask = ("solve", "m.onnx", "-k", "2", "--with", "ideal-dp", "--kv-tokens", "8*100")
    done = pipebound(*ask, "--memory-limit", "500kB", "-o", "r.json")
    assert done.returncode == 0, done.stderr
    assert "2 attention nodes keep keys and values of 800 tokens: 819,200 bytes" in " ".join(
        (done.stdout + done.stderr).split()
    )
    result = json.loads((tmp_path / "r.json").read_text())
    assert result["graph"]["kv_tokens"] == 800
    assert [row["state"] for row in result["stage_memory"]] == [800 * 2 * WIDTH * 4] * 2
    # A bound without a certificate is not checked, which is 4; nothing may be false.
    assert pipebound("verify", "r.json").returncode in (0, 4)
    assert pipebound(*ask, "--memory-limit", "400kB").returncode != 0
    del result["graph"]["kv_tokens"]
    (tmp_path / "false.json").write_text(json.dumps(result))
    assert pipebound("verify", "false.json").returncode != 0


def test_split_reads_the_model_as_it_was_solved(pipebound: Run, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write_decoder(tmp_path / "m.onnx")
    ask = ("solve", "m.onnx", "-k", "2", "--with", "ideal-dp", "--kv-tokens", "100", "-o", "r.json")
    assert pipebound(*ask).returncode == 0
    done = pipebound("split", "m.onnx", "r.json", "-o", "stages", "--json")
    assert done.returncode == 0, done.stderr
    predicted = json.loads(done.stdout)["predicted"]
    assert predicted["kv_tokens"] == 100
    result = json.loads((tmp_path / "r.json").read_text())
    assert predicted["stage_memory"] == result["stage_memory"]
    assert sum(row["state"] for row in predicted["stage_memory"]) == 100 * 2 * 2 * WIDTH * 4
    shown = pipebound("split", "m.onnx", "r.json", "-o", "stages")
    assert shown.returncode == 0, shown.stderr
    assert "what they hold while they run" in shown.stdout
    rows = [line.split() for line in shown.stdout.partition("what they hold")[2].splitlines()]
    # Sizes in MB, after the number of the stage: parameters and state.
    first = result["stage_memory"][0]
    assert [row[1:3] for row in rows if row[:1] == ["0"]] == [["0", f"{first['state'] / 1e6:.4g}"]]


@pytest.mark.parametrize("text", ["", "0", "-4", "4096.5", "2*3*4", "x", "1e3", "²"])
def test_what_is_no_number_of_tokens(pipebound: Run, tmp_path: Path, text: str) -> None:
    write_decoder(tmp_path / "m.onnx")
    refused = pipebound("inspect", "m.onnx", "--kv-tokens", text)
    assert refused.returncode == 2
    assert "cannot read --kv-tokens" in refused.stderr


def test_formats_without_attention(pipebound: Run) -> None:
    refused = pipebound("solve", "testbed:squeezenet", "-k", "2", "--kv-tokens", "10")
    assert refused.returncode == 2
    assert "--kv-tokens means nothing to a native file" in " ".join(refused.stderr.split())

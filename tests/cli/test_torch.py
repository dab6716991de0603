"""From an exported torch program to running stages, as a user does it; skipped in part where torch is absent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from framework.cli import run
from framework.errors import UserError
from framework.formats import read_graph
from tests.cli.conftest import Run
from tests.conftest import REPOSITORY

ABSENT = "torch is not installed: pip install 'pipebound[torch]'"


def test_files_of_programs_say_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with zipfile.ZipFile(tmp_path / "model.bin", "w") as file:
        file.writestr("model/archive_format", "pt2")
    with pytest.raises(UserError, match=r"torch is not installed \(pip install 'pipebound\[torch\]'\)"):
        read_graph(tmp_path / "model.bin")


@pytest.mark.parametrize(
    "options",
    [
        ["split", "m.pt2", "r.json", "-o", "s", "--seed", "1"],
        ["profile", "m.pt2", "-o", "g.json", "--seed", "1"],
    ],
)
def test_options_of_onnx_models_mean_nothing_to_programs(
    options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with zipfile.ZipFile("m.pt2", "w") as file:
        file.writestr("model/archive_format", "pt2")
    Path("r.json").touch()
    monkeypatch.setattr(sys, "argv", ["pipebound", *options])
    assert run() == 2
    assert f"{options[-2]} means nothing to a torch program (drop {options[-2]})" in capsys.readouterr().err


def test_help_and_other_formats_load_no_torch() -> None:
    code = (
        "import sys; sys.argv = ['pipebound', '--help']\n"
        "from framework.cli import run\n"
        "import pipebound, pipebound.torch, framework.deploy.tuning.subjects, framework.api.solve\n"
        "run(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_the_whole_way(pipebound_process: Run, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason=ABSENT)
    from framework.formats.torch.export.files import export
    from tests.formats.torch.programs import Tied, tokens

    torch.export.save(export(Tied(), (tokens(2, 5),)), tmp_path / "model.pt2")
    # Handing over a tensor takes longer than this model: without pins one stage would be best.
    both = ["--pin", "table.embedding=0", "--pin", "head.linear=1"]
    steps: list[list[str]] = [
        ["solve", "model.pt2", "-k", "2", "--budget", "1m", "-o", "direct.json", "--json"],
        ["profile", "model.pt2", "-o", "p.graph.json", "--repetitions", "3", "--json"],
        ["solve", "p.graph.json", "-k", "2", "--budget", "1m", *both, "-o", "r.json", "--json"],
        ["split", "model.pt2", "direct.json", "-o", "first", "--json"],
        ["split", "model.pt2", "r.json", "-o", "stages", "--json"],
        ["pipeline", "stages", "--items", "8", "--rounds", "1", "--budget", "8m", "--json"],
    ]
    printed = []
    for step in steps:
        done = pipebound_process(*step, timeout=600)
        assert done.returncode == 0, done.stderr
        printed.append(json.loads(done.stdout))
    direct, profile, _, first, manifest, trial = printed
    assert profile["runtime"] == "torch"
    assert profile["link_bandwidth"] > 0
    assert first["predicted"]["graph"] is None
    assert first["predicted"]["bottleneck"] == direct["results"][0]["incumbent"] if "results" in direct else True
    assert manifest["predicted"]["graph"].endswith("p.graph.json")
    assert manifest["predicted"]["device"]["name"] == "measured"
    assert trial["equal"]
    assert trial["difference"] == 0
    assert trial["optimization"] == "gloo"
    assert trial["predicted_over_measured"] > 0
    assert {"equal layers", "equal operator count"} <= {row["name"] for row in trial["rows"]}


OPERATORS = """
import torch

@torch.library.custom_op("pipebound_tests::twice", mutates_args=())
def twice(x: torch.Tensor) -> torch.Tensor:
    return 2 * x

@twice.register_fake
def _(x):
    return torch.empty_like(x)
"""
PROGRAM = """
import sys
import ops, torch
from framework.formats.torch.export.files import export

class Doubled(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)

    def forward(self, x):
        return self.second(torch.ops.pipebound_tests.twice(self.first(x)))

torch.export.save(export(Doubled(), (torch.randn(2, 4),)), "m.pt2")
"""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")
def test_operators_of_other_packages_come_with_a_plugin(pipebound: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason=ABSENT)
    (tmp_path / "ops.py").write_text(OPERATORS)
    # Another process exports the program: this one knows of the operator by the plugin alone.
    paths = os.pathsep.join((str(tmp_path), str(REPOSITORY)))
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, cwd=tmp_path, env={**os.environ, "PYTHONPATH": paths})
    refused = pipebound("inspect", "m.pt2")
    assert refused.returncode == 2
    assert "nobody has defined the operator pipebound_tests.twice" in refused.stderr
    assert "--plugin" in refused.stderr
    profiled = pipebound("profile", "m.pt2", "-o", "m.graph.json", "--plugin", "ops.py", "--repetitions", "3")
    assert profiled.returncode == 0, profiled.stderr
    ask = ("solve", "m.graph.json", "-k", "2", "--with", "slice-graph", "--pin", "second.linear=1")
    solved = pipebound(*ask, "-o", "r.json")
    assert solved.returncode == 0, solved.stderr
    split = pipebound("split", "m.pt2", "r.json", "-o", "stages", "--plugin", "ops.py")
    assert split.returncode == 0, split.stderr
    ran = pipebound("pipeline", "stages", "--plugin", "ops.py", "--rounds", "1", "--items", "4", "--no-naive")
    assert ran.returncode == 0, ran.stderr
    assert "Results equal" in ran.stdout


EXPERTS = """
import torch
from framework.formats.torch.export.files import export
from tests.formats.torch.published import mixtral

case = mixtral()
torch.export.save(export(case.module, case.args, case.kwargs), "mixtral.pt2")
"""


@pytest.mark.slow
def test_a_mixture_of_experts_runs_with_the_operators_of_transformers(pipebound_process: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason=ABSENT)
    pytest.importorskip("transformers", reason="transformers is not installed")
    (tmp_path / "experts.py").write_text("import transformers.integrations.moe\n")
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run([sys.executable, "-c", EXPERTS], check=True, cwd=tmp_path, env=environment)
    refused = pipebound_process("inspect", "mixtral.pt2")
    assert refused.returncode == 2
    assert "nobody has defined the operator transformers.grouped_mm_fallback" in refused.stderr
    plugin = ("--plugin", "experts.py")
    halves = ("--pin", "model.embed_tokens.embedding=0", "--pin", "lm_head.linear=1")
    steps = [
        ("profile", "mixtral.pt2", "-o", "m.graph.json", "--repetitions", "3", "--neighbours", "1", *plugin),
        ("solve", "m.graph.json", "-k", "2", "--with", "slice-graph", *halves, "-o", "r.json"),
        ("split", "mixtral.pt2", "r.json", "-o", "stages", *plugin),
        ("pipeline", "stages", "--items", "6", "--rounds", "1", "--json", *plugin),
    ]
    for step in steps:
        done = pipebound_process(*step, timeout=600)
        assert done.returncode == 0, done.stderr
    trial = json.loads(done.stdout)
    assert trial["equal"]
    assert trial["stages"] == 2
    assert len(trial["rows"][0]["busy"]) == 2
    assert json.loads((tmp_path / "m.graph.json").read_text())["profile"]["neighbours"] == 1

"""The tutorial is run as it stands: its files are written, its commands executed."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAMS = {"pipebound": [sys.executable, "-m", "framework"], "python": [sys.executable]}


def test_every_block_works(tmp_path: Path) -> None:
    blocks = BLOCK.findall((REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    commands: list[str] = []
    ratios: dict[tuple[str, int], float] = {}
    for language, text in blocks:
        if language == "python":
            first = text.splitlines()[0]
            assert first.startswith("# "), f"a file must say its name: {first}"
            (tmp_path / first.removeprefix("# ")).write_text(text, encoding="utf-8")
            continue
        assert language == "console", language
        for line in text.splitlines():
            assert line.startswith("$ "), line
            program, *arguments = shlex.split(line.removeprefix("$ "))
            commands.append(arguments[0])
            if arguments[0] == "compare":
                arguments.append("--json")
            done = subprocess.run(
                [*PROGRAMS[program], *arguments],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            if arguments[0] == "compare":
                ratios = {(run["entry"], run["stages"]): run["ratio"] for run in json.loads(done.stdout)["runs"]}
    assert commands == ["new", "check", "check", "compare", "-m", "new", "check"]
    # What the text says of the comparison.
    assert ratios["star", 16] > 1.5 * ratios["simple", 16]
    assert ratios["star", 4] < ratios["simple", 4]
    assert ratios["star", 16] <= ratios["anchored-cut", 16] <= ratios["ideal-dp", 16] == 1.0

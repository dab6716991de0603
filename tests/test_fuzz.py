"""A small run of `scripts/fuzz.py`: whatever a user's input holds, a command answers with a result or one line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import REPOSITORY


@pytest.mark.slow
def test_mutated_inputs_are_read_or_refused() -> None:
    command = [sys.executable, "scripts/fuzz.py", "--mutations", "300", "--seed", "7", "--seconds", "300"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()[1:]}
    assert int(rows["all"][0]) == 300
    assert all(int(row[0]) > 0 for row in rows.values())
    # Some were accepted and some refused, so mutations reach beyond the first check.
    assert 20 < int(rows["all"][1]) < 280

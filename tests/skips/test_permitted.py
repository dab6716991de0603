"""Tests that are skipped without permission fail a run, and the list of permitted ones names what there is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY
from tests.skips.permitted import OPTION, RUNS, read_list

CONFTEST = """
from pathlib import Path
from tests.skips import permitted
from tests.skips.permitted import pytest_addoption, pytest_configure
permitted.LIST = Path(__file__).with_name("list.toml")
"""
LIST = """
[[skip]]
run = "plain"
tests = ["test_some.py::test_skipped", "test_whole.py"]
reason = "it is not"
because = "of this test"
"""
SOME = """
import pytest
@pytest.mark.parametrize("number", [1, 2])
def test_skipped(number):
    pytest.skip("it is not installed")
@pytest.mark.xfail
def test_expected_to_fail():
    assert False
"""


def test_a_run_fails_for_skips_that_are_not_listed(tmp_path: Path) -> None:
    files = {"conftest.py": CONFTEST, "list.toml": LIST, "test_some.py": SOME}
    files["test_whole.py"] = "import pytest\npytest.importorskip('missing', reason='it is not there')\n"
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    def run(*options: str) -> tuple[int, list[str]]:
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options]
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, [line for line in done.stdout.splitlines() if "PERMISSION" in line]

    assert run(OPTION, "plain") == (0, [])
    code, lines = run(OPTION, "torch", "-p", "xdist", "-n1")
    assert (code, len(lines)) == (1, 3)
    (tmp_path / "test_other.py").write_text(SOME.replace("test_skipped", "test_skipped_too"), encoding="utf-8")
    code, lines = run(OPTION, "plain")
    assert code == 1
    assert [line.split("): ")[1] for line in lines] == [
        f"test_other.py::test_skipped_too[{number}]: it is not installed" for number in (1, 2)
    ]


def test_the_list_names_tests_that_there_are() -> None:
    for row in read_list():
        assert row.run in (*RUNS, "any")
        assert row.reason
        assert row.because
        for name in row.tests:
            file, _, function = name.partition("[")[0].partition("::")
            path = REPOSITORY / file
            assert path.exists(), name
            assert not function or f"def {function}(" in path.read_text(encoding="utf-8"), name

"""Starting is quick: no heavy package is loaded before it is needed."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numpy", "numba", "ortools", "cvxpy", "matplotlib", "onnx", "networkx")


@pytest.mark.parametrize("arguments", [["--help"], ["solve", "--help"], ["versions"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['pipebound', *{arguments!r}]\n"
        "from framework.__main__ import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_registering_the_built_ins_loads_no_solver() -> None:
    code = (
        "import sys\nfrom framework.registry import load_plugins\n"
        "assert load_plugins() == ()\n"
        "loaded = [name for name in ('numba', 'ortools', 'cvxpy', 'matplotlib', 'onnx') if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_highspy_and_ortools_live_together_in_either_order() -> None:
    for order in (("highspy", "ortools.sat.python.cp_model"), ("ortools.sat.python.cp_model", "highspy")):
        code = f"import {order[0]}\nimport {order[1]}\nimport highspy\nassert highspy.Highs().run() is not None"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

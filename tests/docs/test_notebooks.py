"""The notebooks run from top to bottom, without Jupyter, and are committed with what they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from framework.registry import registry
from framework.testing.notebooks import read_notebook, run_cells
from tests.conftest import REPOSITORY

FOLDER = REPOSITORY / "docs" / "notebooks"
NOTEBOOKS = ("formulation", "model", "study")


def words(outputs: list[dict[str, Any]]) -> str:
    """Return what outputs say, pictures left out."""
    shown = [{kind: text for kind, text in output.get("data", {}).items() if kind != "image/png"} for output in outputs]
    return str([*shown, *(output.get("text") for output in outputs)])


def test_all_of_them_are_tested() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == sorted(NOTEBOOKS)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_they_run(name: str, tmp_path: Path) -> None:
    cells = read_notebook(FOLDER / f"{name}.ipynb")["cells"]
    try:
        for shown in run_cells(cells, tmp_path):
            # A member that fails is a note below a table.
            assert "Error" not in words(shown)
    finally:
        registry._entries.pop("star", None)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_what_they_show_is_committed(name: str) -> None:
    cells = [cell for cell in read_notebook(FOLDER / f"{name}.ipynb")["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell["outputs"]]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert any("text/html" in output.get("data", {}) for output in outputs)
    assert "Error" not in words(outputs)
    assert "/tmp/" not in words(outputs)

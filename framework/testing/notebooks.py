"""Runs the cells of a notebook without Jupyter, and collects the output of each."""

from __future__ import annotations

import ast
import base64
import contextlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def read_notebook(path: Path) -> dict[str, Any]:
    """Return the document of a notebook (format 4)."""
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if document.get("nbformat") != 4:
        raise ValueError(f"{path} is no notebook of format 4")
    return document


def run_cells(cells: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[list[dict[str, Any]]]:
    """Execute the code cells of a notebook in a folder; yield the outputs of each.

    Raises
    ------
    Exception
        Whatever a cell raises.
    """
    names: dict[str, Any] = {"__name__": "notebook"}
    before = Path.cwd()
    os.chdir(folder)
    try:
        count = 0
        for cell in cells:
            if cell["cell_type"] == "code":
                count += 1
                yield _run_cell("".join(cell["source"]), names, count)
    finally:
        os.chdir(before)


def _run_cell(source: str, names: dict[str, Any], count: int) -> list[dict[str, Any]]:
    where = f"<cell {count}>"
    tree = ast.parse(source, where)
    last = tree.body[-1] if tree.body else None
    if isinstance(last, ast.Expr):
        del tree.body[-1]
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(tree, where, "exec"), names)
        shown = ast.Expression(last.value) if isinstance(last, ast.Expr) else None
        value = None if shown is None else eval(compile(shown, where, "eval"), names)
    outputs: list[dict[str, Any]] = []
    if said.getvalue():
        outputs.append({"name": "stdout", "output_type": "stream", "text": said.getvalue().splitlines(keepends=True)})
    if value is not None:
        outputs.append(
            {"data": _shown(value), "execution_count": count, "metadata": {}, "output_type": "execute_result"}
        )
    return outputs


def _shown(value: object) -> dict[str, Any]:
    """Return all that a notebook knows to show of a value."""
    data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
    html, png = getattr(value, "_repr_html_", None), getattr(value, "_repr_png_", None)
    if html is not None and (text := html()) is not None:
        data["text/html"] = text.splitlines(keepends=True)
    if png is not None:
        data["image/png"] = base64.b64encode(png()).decode()
    return data

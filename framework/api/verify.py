"""`verify`, as a program calls it: believe nothing that a result says, derive it again from the graph."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from framework.api.inputs import GraphLike, take_graph
from framework.errors import UserError
from framework.formats import BUNDLED_SCHEME, read_graph
from framework.model.graph import ModelGraph
from framework.model.training import Training
from framework.portfolio.portfolio_file import load_entries
from framework.portfolio.reading import read_result_document
from framework.portfolio.result import Result
from framework.portfolio.verification import Verification, verify_document


def verify(
    result: Result | str | os.PathLike[str],
    graph: GraphLike | None = None,
    *,
    plugin_files: Sequence[str | os.PathLike[str]] = (),
) -> Verification:
    """Derive everything that a result claims again, from the graph alone, and compare it exactly.

    The partition is priced again, every certificate is checked again.

    Parameters
    ----------
    result
        A result, or the file of one.
    graph
        As for `solve`; by default the file that the result names.
    plugin_files
        Files that register checkers of certificates.

    Raises
    ------
    UserError
        If a file cannot be read, or the problem cannot be posed again.
    """
    load_entries([os.fspath(path) for path in plugin_files])
    document: Mapping[str, Any]
    if isinstance(result, Result):
        named, document = "the result", result.as_dict()
    else:
        named, document = os.fspath(result), read_result_document(Path(result))
    model = take_graph(graph)[0] if graph is not None else graph_of(document, named)
    return verify_document(document, model)


def graph_of(document: Mapping[str, Any], named: str) -> ModelGraph:
    """Read the graph of a result again, as its document says.

    Parameters
    ----------
    named
        What the result is called in errors.

    Raises
    ------
    UserError
        If it is not where it was, or cannot be read.
    """
    origin = document["graph"]
    path = origin.get("path")
    if path is None or not (str(path).startswith(BUNDLED_SCHEME) or os.path.exists(path)):
        raise UserError("the graph is not where it was", where=named, hint="give it as `graph`")
    return read_graph(
        path,
        format=origin.get("format"),
        dims=origin.get("dims"),
        training=Training.of(origin) or False,
        drop_unused=bool(origin.get("drop_unused", False)),
        kv_tokens=int(origin.get("kv_tokens", 0)),
    )

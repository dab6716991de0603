"""`convert`, as a program calls it: a partition in the words of another tool."""

from __future__ import annotations

from collections.abc import Sequence

from framework.api.inputs import GraphLike, take_graph
from framework.api.verify import graph_of
from framework.errors import UserError
from framework.layouts.write import LAYOUTS, Written, write_split
from framework.portfolio.result import Result

PAGE = "html"


def convert(result: Result, to: str, graph: GraphLike | None = None, *, layers: Sequence[str] = ()) -> Written:
    """Write the partition of a result for another tool; `text` of what is returned is the file.

    Parameters
    ----------
    result
        A result with a partition.
    to
        ``"split-spec"``, ``"fqn-per-stage"``, ``"device-map"``, ``"vllm"``, ``"megatron"``, ``"deepspeed"``, ``"csv"``,
        ``"dot"``, or ``"html"`` for a page of the graph.
    graph
        As for `solve`; by default the file that the result names.
    layers
        Patterns of the modules that are layers; by default those that the result kept whole (`Constraints`).

    Raises
    ------
    UserError
        If the result holds no partition, a cut goes through a module, or the tool cannot run it.
    """
    if to != PAGE and to not in LAYOUTS:
        raise UserError(f"no layout is called {to!r}", hint=f"choose one of {', '.join((*LAYOUTS, PAGE))}")
    read = take_graph(graph)[0] if graph is not None else graph_of(result.as_dict(), "the result")
    if to == PAGE:
        from framework.report.splits.page import page

        return Written(text=page(result, read))
    return write_split(result, read, to, layers)

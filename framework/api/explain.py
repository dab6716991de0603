"""`explain`, as a program calls it: what binds a result, and what would help."""

from __future__ import annotations

from dataclasses import replace

from framework.api.inputs import GraphLike, complete_settings, refuse_entries_of_script, take_graph
from framework.api.verify import graph_of
from framework.layouts.explain import Explanation
from framework.layouts.explain import explain as explain_result
from framework.layouts.what_if import Change, what_if
from framework.portfolio.result import Result
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve


def explain(
    result: Result, graph: GraphLike | None = None, *, settings: Settings | None = None, rows: bool = True
) -> Explanation:
    """Say what binds the slowest stage of a result, what its bound rests on, and what would help.

    Parameters
    ----------
    result
        A result with a partition.
    graph
        As for `solve`; by default the file that the result names.
    settings
        Of the what-if rows, each of which is a run of its own; their device is that of the result.
    rows
        Whether to solve what-if rows: links twice as fast, twice the memory, one device more.

    Raises
    ------
    UserError
        If the result holds no partition, or is of another graph.
    """
    model = take_graph(graph)[0] if graph is not None else graph_of(result.as_dict(), "the result")
    explanation = explain_result(result, model)
    if not rows:
        return explanation
    settings = complete_settings(replace(settings or Settings(), device=result.device), model, None)
    refuse_entries_of_script(settings.entry)

    def run(change: Change) -> Result:
        return solve(
            change.graph, change.stages, settings=change.settings, constraints=change.constraints, start=change.start
        )

    return replace(explanation, what_if=what_if(result, model, settings, run, lambda: False))

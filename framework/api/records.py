"""`records`, as a program calls it: what is known of the graphs of the testbed."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from framework.report.records.rows import RecordRow, record_rows


def records(
    graphs: str | Sequence[str] = (), stages: int | Collection[int] = (), *, only_open: bool = False
) -> tuple[RecordRow, ...]:
    """Return the records of the testbed, one row a pair of graph and number of stages.

    Parameters
    ----------
    graphs
        Only these, ``testbed:NAME`` or ``NAME``; all where none is named.
    stages
        Only these numbers of stages.
    only_open
        Only pairs whose best known partition is not proven optimal, and those without a record.

    Raises
    ------
    UserError
        If there is no such graph or number of stages, or if a file is damaged or of another graph.
    """
    names = [graphs] if isinstance(graphs, str) else graphs
    numbers = (stages,) if isinstance(stages, int) else stages
    return tuple(record_rows(names, numbers, only_open=only_open))

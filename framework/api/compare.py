"""`compare`, as a program calls it: entries side by side on one graph."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

from framework.api.inputs import GraphLike, complete_settings, refuse_entries_of_script, take_graph
from framework.api.progress import ProgressLike, watch_for
from framework.api.solve import check_stages
from framework.input_files import reading_deadline
from framework.model.pricing import quantise
from framework.portfolio.comparison import Comparison, run_comparison
from framework.portfolio.settings import Settings
from framework.portfolio.solve import check_entries
from framework.signals import Interrupt


def compare(
    graph: GraphLike,
    entries: Sequence[str],
    stages: int | Iterable[int],
    *,
    settings: Settings | None = None,
    progress: ProgressLike = False,
) -> Comparison:
    """Run each entry on its own for each number of stages, and compare bounds, partitions and times.

    Ratios are taken over the best partition that any entry found for that number of stages. Ctrl-C ends the run under
    way and leaves out those that have not begun.

    Parameters
    ----------
    graph
        As for `solve`.
    entries
        Formulations, strategies and portfolios, as ``name:param=value``.
    stages
        Numbers of stages.
    settings
        For each run; the entry in it means nothing here.
    progress
        As for `solve`.

    Raises
    ------
    UserError
        For a mistake in any of them, before the first one runs.
    """
    started = time.monotonic()
    settings = settings or Settings()
    numbers = [stages] if isinstance(stages, int) else list(stages)
    check_stages(numbers)
    model, source = take_graph(graph, reading_deadline(started, settings.budget))
    settings = complete_settings(settings, model, source)
    check_entries(entries, numbers, settings.plugin_files)
    refuse_entries_of_script(*entries)
    watch = watch_for(progress, settings.budget, quantise(model, settings.device).rounding)
    with Interrupt().watch(from_begin=True) as interrupt:
        return run_comparison(
            model, entries, numbers, settings=settings, graph_input=source, interrupt=interrupt, watch=watch
        )

"""`judge`, as a program calls it: splits of any origin beside the proven bound."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from framework.api.inputs import GraphLike, complete_settings, refuse_entries_of_script, take_graph
from framework.api.solve import check_stages
from framework.errors import UserError
from framework.input_files import reading_deadline
from framework.layouts.judge import Judgement
from framework.layouts.judge import judge as judge_splits
from framework.layouts.read import Given, most_stages, read_split
from framework.portfolio.constraints import Constraints
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import check_entries

SplitLike: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Sequence[Any]"
"""The name of a split, its file or its text, or what a JSON file of it would hold."""


def judge(
    graph: GraphLike,
    splits: Sequence[SplitLike],
    stages: int | None = None,
    *,
    settings: Settings | None = None,
    constraints: Constraints | None = None,
    layers: Sequence[str] = (),
) -> Judgement:
    """Say how far splits are from the best possible, whoever made them.

    Parameters
    ----------
    graph
        As for `solve`.
    splits
        Each is a file or text that `framework.layouts.read` knows; a name such as ``"even-layers"``; or what a JSON
        file would hold: a device map ``{"model.layers.0": 0}``, the modules of each stage, the parts of DeepSpeed.
    stages
        Number of stages; by default as many as the splits have.
    settings, constraints
        Of the run that proves the bound, as for `solve`.
    layers
        Patterns of the modules that are layers, ``["layers.*"]``; by default the elements of lists of modules.

    Raises
    ------
    UserError
        If a split cannot be read, or is no pipeline; and for all that `solve` refuses.
    """
    started = time.monotonic()
    settings, constraints = settings or Settings(), constraints or Constraints()
    if not splits or isinstance(splits, str | Mapping):
        raise UserError("`splits` is no list of splits", hint="give at least one: ['even-layers']")
    model, source = take_graph(graph, reading_deadline(started, settings.budget))
    settings = complete_settings(settings, model, source)
    if stages is None:
        stages = most_stages([_plain(split) for split in splits], model, layers)
    check_stages([stages])
    check_entries([settings.entry], [stages], settings.plugin_files)
    refuse_entries_of_script(settings.entry)
    return judge_splits(
        model,
        [read_split(_plain(split), model, stages, layers) for split in splits],
        settings=settings,
        constraints=constraints,
        session=Session(started=started, graph_input=source),
    )


def _plain(split: SplitLike) -> Given:
    return os.fspath(split) if isinstance(split, os.PathLike) else split

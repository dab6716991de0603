"""The assignment model and the same-stage model coupled in one program.

With y[j, v] = "v is in one of the first j stages" of `framework.structure.models.superblocks`, groups of one stage,
x[s, v] = y[s, v] - y[s-1, v], and X[u, v] of `framework.structure.models.same_stage_model`, every partition satisfies

    X[u, v] <= 1 - (y[j, u] - y[j, v])        in the same stage, both are before a boundary or neither is
    X[u, v] >= x[s, u] + x[s, v] - 1          both in stage s share it

Each model has its bottleneck; what the stages of X cost is at most the one that is minimised. Source: this project.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from framework.model.arrays import IntArray
from framework.model.instance import MAX_TOTAL
from framework.structure.models.same_stage_model import CountTangent, SameStageModel
from framework.structure.models.superblocks import SuperblockModel, SuperblockParts
from framework.structure.models.superblocks_layout import even_layout
from framework.structure.poset.closure import BoolArray
from framework.structure.solvers.linear_model import OPEN, LinearModel, ModelBuilder

_PENALTY = 1024


def joined_model(
    parts: SuperblockParts,
    stages: int,
    threshold: int,
    apart: BoolArray,
    vectors: Sequence[IntArray],
    counts: Sequence[CountTangent],
) -> LinearModel | None:
    """Return the model at a threshold (ticks), which minimises the bottleneck; None if the windows refute it."""
    windows = parts.windows.at(stages, threshold)
    if windows is None:
        return None
    first = SuperblockModel(parts, even_layout(stages, stages), upper=MAX_TOTAL, minimise=True, windows=windows)
    second = SameStageModel(
        parts.instance, stages, vectors, counts=counts, apart=apart, penalty=penalty_at(threshold, parts.instance.n)
    )
    offset = first.model.columns
    links = ModelBuilder()
    # Bounds of 0 and 1 are right for all columns that links use but the bottlenecks, whose row they cannot decide.
    links.add_columns(offset + second.model.columns)
    _add_links(links, first.before, second.pairs, offset)
    assert first.model.objective is not None
    assert second.model.objective is not None
    links.add_sparse_rows(
        np.zeros(2, np.int64),
        np.array([second.model.objective + offset, first.model.objective]),
        np.array([1, -1]),
        lower=np.array([-OPEN]),
        upper=np.array([0]),
        weighed=True,
    )
    return _joined(first.model, second.model, links.build())


def penalty_at(threshold: int, n: int) -> int:
    """Return a penalty of the excess (ticks) far above a threshold, n times of which a bottleneck can still be."""
    return min(_PENALTY * (threshold + 1), MAX_TOTAL // n)


def _add_links(links: ModelBuilder, before: IntArray, pairs: IntArray, offset: int) -> None:
    u, v = np.nonzero(pairs >= 0)
    columns = pairs[u, v] + offset
    for j in range(1, len(before) - 1):
        links.add_rows([(columns, 1), (before[j, u], 1), (before[j, v], -1)], upper=1)
    u, v = np.nonzero(np.triu(pairs >= 0))
    columns = pairs[u, v] + offset
    for s in range(len(before) - 1):
        terms = [(columns, -1)]
        for node in (u, v):
            terms += [(before[s + 1, node], 1), (before[s, node], -1)]
        links.add_rows(terms, upper=1)


def _joined(first: LinearModel, second: LinearModel, links: LinearModel) -> LinearModel:
    """Return one model with the columns of two and rows between them."""
    starts = (first.rows, first.rows + second.rows)
    return LinearModel(
        lower=np.concatenate((first.lower, second.lower)),
        upper=np.concatenate((first.upper, second.upper)),
        integer=np.concatenate((first.integer, second.integer)),
        weighed=np.concatenate((first.weighed, second.weighed)),
        row_of=np.concatenate((first.row_of, second.row_of + starts[0], links.row_of + starts[1])),
        column_of=np.concatenate((first.column_of, second.column_of + first.columns, links.column_of)),
        factor=np.concatenate((first.factor, second.factor, links.factor)),
        row_lower=np.concatenate((first.row_lower, second.row_lower, links.row_lower)),
        row_upper=np.concatenate((first.row_upper, second.row_upper, links.row_upper)),
        row_weighed=np.concatenate((first.row_weighed, second.row_weighed, links.row_weighed)),
        objective=first.objective,
        infeasible=first.infeasible or second.infeasible or links.infeasible,
    )

"""The pairs with the widest gaps, each with what makes it hard: ideals, transfers, heavy nodes, or streaming."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from framework.records.posing import pose
from framework.report.escape import markdown
from framework.report.numbers import ratio
from framework.report.records.rows import RecordRow
from framework.structure.ideals.lattice import count_ideals
from framework.structure.poset.width import width
from framework.structure.reduction.dominance import reduce_exact

MOST_IDEALS = 100_000
"""How many ideals are counted."""
DEAR, HEAVY, STREAMED = 0.5, 0.5, 0.25
"""From which shares on transfers (of all work), a node (of the bottleneck) and streaming (of all work) are named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphFacts:
    """What of a graph makes its pairs hard, on the device of the records.

    Attributes
    ----------
    nodes, width, ideals
        After exact reductions.
    complete
        Whether these are all ideals; otherwise there are more.
    transfers
        Cost of sending each tensor once / all work.
    streaming
        Cost of streaming what one stage of all nodes could not hold / all work.
    heaviest
        Work of the heaviest node, in ticks.
    """

    nodes: int
    width: int
    ideals: int
    complete: bool
    transfers: float
    streaming: float
    heaviest: int


@lru_cache(maxsize=64)
def facts_of(graph: str, max_ideals: int = MOST_IDEALS) -> GraphFacts:
    """Measure a graph of the testbed."""
    instance = reduce_exact(pose(graph).instance, load_kernels=False)
    ideals, complete = count_ideals(instance, max_ideals=max_ideals)
    work = max(1, instance.total_work)
    return GraphFacts(
        nodes=instance.n,
        width=width(instance),
        ideals=ideals,
        complete=complete,
        transfers=int(instance.tensor_cost.sum()) / work,
        streaming=max(0, instance.most_held - instance.capacity) / work,
        heaviest=int(instance.work.max()),
    )


def reason(facts: GraphFacts, bottleneck: int | None) -> str:
    """Say in a sentence what makes a pair hard.

    Parameters
    ----------
    bottleneck
        Of the best partition, in ticks.
    """
    more = "" if facts.complete else "more than "
    words = f"{more}{facts.ideals:,} ideals at a width of {facts.width}"
    heavy = 0.0 if not bottleneck else facts.heaviest / bottleneck
    causes = []
    if facts.transfers >= DEAR:
        causes.append(f"sending each tensor once costs {_percent(facts.transfers)} of all work")
    if heavy >= HEAVY:
        causes.append(f"one node takes {_percent(heavy)} of the bottleneck")
    if facts.streaming >= STREAMED:
        causes.append(f"streaming what one stage cannot hold costs {_percent(facts.streaming)} of all work")
    if causes:
        return f"{'; '.join([words, *causes])}."
    spread = f"no node takes more than {_percent(heavy)} of the bottleneck" if bottleneck else "no partition is known"
    return f"{words}; transfers are cheap ({_percent(facts.transfers)} of all work) and {spread}."


def _percent(share: float) -> str:
    return "less than 1%" if share < 0.01 else f"{100 * share:,.0f}%"


def hardest(rows: Sequence[RecordRow], count: int = 30) -> list[RecordRow]:
    """Return the pairs that are not proven optimal with the lowest bound / best."""
    known = [row for row in rows if row.state == "open" and row.ratio is not None]
    return sorted(known, key=lambda row: (row.ratio, row.graph, row.stages))[:count]


def hardest_table(rows: Sequence[RecordRow], count: int = 30) -> str:
    """Return these pairs as a Markdown table, with a reason each."""
    lines = ["| graph | k | nodes | bound / best | what makes it hard |", "| --- | ---: | ---: | ---: | --- |"]
    for row in hardest(rows, count):
        words = reason(facts_of(row.graph), row.bottleneck_ticks)
        lines.append(f"| {markdown(row.graph)} | {row.stages} | {row.nodes:,} | {ratio(row.ratio)} | {words} |")
    return "\n".join(lines)

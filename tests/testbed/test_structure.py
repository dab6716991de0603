from __future__ import annotations

from collections.abc import Sequence

import networkx
import numpy as np

from framework.formats import read_graph
from framework.formats.networkx import from_networkx
from framework.model.graph import ModelGraph
from framework.testbed.structure import structure_digest

Edges = Sequence[tuple[int, int]]


def graph(edges: Edges, ops: str, size: int = 1) -> ModelGraph:
    digraph: networkx.DiGraph[int] = networkx.DiGraph()
    for v, op in enumerate(ops):
        digraph.add_node(v, op=op, work=size, output_size=size)
    for u, v in edges:
        digraph.add_edge(u, v)
    return from_networkx(digraph, unit="ticks")


def test_numbering_names_and_costs_play_no_part() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        n = 12
        edges = [(u, v) for u in range(n) for v in range(u + 1, n) if rng.random() < 0.25]
        ops = "".join(rng.choice(list("abc"), n))
        order = rng.permutation(n)
        place = {int(v): i for i, v in enumerate(order)}
        moved = graph([(place[u], place[v]) for u, v in edges], "".join(ops[v] for v in order), size=7)
        assert structure_digest(moved) == structure_digest(graph(edges, ops))


def test_operators_edges_and_tensors_do() -> None:
    diamond = [(0, 1), (0, 2), (1, 3), (2, 3)]
    digests = {
        structure_digest(graph(diamond, "abbc")),
        structure_digest(graph(diamond, "abcc")),
        structure_digest(graph([*diamond, (0, 3)], "abbc")),
        structure_digest(graph([(0, 1), (1, 2), (2, 3)], "abbc")),
        structure_digest(graph([(0, 1), (0, 2), (1, 3)], "abbc")),
        structure_digest(graph(diamond, "abbcc")),
    }
    assert len(digests) == 6
    assert structure_digest(graph(diamond, "abbc"), operators=False) == structure_digest(
        graph(diamond, "xyzw"), operators=False
    )


def test_what_differs_only_against_the_edges_is_told_apart() -> None:
    # Along the edges all nodes but the ends look the same: who consumes what decides.
    left = graph([(0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)], "aaaaabc")
    right = graph([(0, 1), (0, 2), (1, 3), (1, 4), (3, 5), (4, 6)], "aaaaabc")
    assert structure_digest(left) != structure_digest(right)


def test_real_graphs_differ() -> None:
    names = ("resnet50", "densenet121", "inception_v1", "squeezenet")
    digests = {structure_digest(read_graph(f"testbed:{name}")) for name in names}
    assert len(digests) == len(names)

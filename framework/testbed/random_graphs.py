"""Random graphs like those of REGAL: a name holds family, number of nodes and seed, and the graph follows from it.

Four classic families of random graphs are made acyclic by directing every edge from the lower to the higher node.
Costs of nodes and sizes of tensors are whole numbers drawn from a normal distribution with mean 50 and deviation 10;
there are no parameters. Paliwal et al., "Reinforced Genetic Algorithm Learning for Optimizing Computation Graphs",
ICLR 2020 (arXiv 1905.02494, appendix), describe such a generator; the densities here are this project's choice:

* ``er``: Erdos-Renyi, every pair is an edge with probability 0.05;
* ``ba``: Barabasi-Albert, a new node joins two old ones, drawn in proportion to their degrees, after a star of three;
* ``ws``: Watts-Strogatz, a ring in which each node knows its four nearest, and an edge is rewired with probability 0.3;
* ``sbm``: stochastic block model, four blocks of consecutive nodes, probability 0.3 within and 0.01 across blocks.

All randomness comes from ``random.Random(name).random()``, a stream that Python promises to keep between versions.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from random import Random
from statistics import NormalDist

import numpy as np

from framework.errors import UserError
from framework.model.arrays import prefix_sums
from framework.model.graph import ModelGraph, PricedCosts
from framework.model.topology import build_topology

PREFIX = "regal-"
MIN_NODES, MAX_NODES = 10, 2000

_COSTS = NormalDist(50, 10)
_Edges = set[tuple[int, int]]


def regal_name(family: str, nodes: int, seed: int) -> str:
    """Return the name that stands for a graph wherever a bundled graph's does: ``regal-er-150-100``."""
    return f"{PREFIX}{family}-{nodes}-{seed}"


def regal_graph(family: str, nodes: int, seed: int) -> ModelGraph:
    """Return the random graph of a family, a number of nodes and a seed; the same on every machine.

    Parameters
    ----------
    family
        One of `FAMILIES`: ``er``, ``ba``, ``ws``, ``sbm``.
    nodes
        From `MIN_NODES` to `MAX_NODES`.
    seed
        Any whole number of at least 0.

    Raises
    ------
    UserError
        If there is no such family, or a number is out of range.
    """
    name = regal_name(family, nodes, seed)
    if family not in FAMILIES:
        near = difflib.get_close_matches(family, FAMILIES, 1)
        raise UserError(
            f"no random family is called {family!r}",
            where=name,
            hint=f"did you mean {near[0]}?" if near else f"choose one of {', '.join(FAMILIES)}",
        )
    if not MIN_NODES <= nodes <= MAX_NODES:
        raise UserError(f"{nodes} nodes", where=name, hint=f"choose from {MIN_NODES} to {MAX_NODES} nodes")
    if seed < 0:
        raise UserError(f"the seed is {seed}", where=name, hint="give a whole number of at least 0")
    random = Random(name)
    edges = FAMILIES[family](random, nodes)
    work = [_cost(random) for _ in range(nodes)]
    sizes = [_cost(random) for _ in range(nodes)]
    heads: dict[int, list[int]] = {}
    for tail, head in sorted((min(edge), max(edge)) for edge in edges):
        heads.setdefault(tail, []).append(head)
    return ModelGraph(
        name=name,
        source=f"generated: {_TITLES[family]} graph directed by node order, costs ~ N(50, 10)",
        node_names=tuple(f"node{v}" for v in range(nodes)),
        ops=("",) * nodes,
        topology=build_topology(
            nodes,
            np.array(list(heads), np.int64),
            prefix_sums([len(row) for row in heads.values()]),
            np.array([head for row in heads.values() for head in row], np.int64),
        ),
        costs=PricedCosts(
            unit="ticks",
            work=np.array(work, np.int64),
            parameter_cost=np.zeros(nodes, np.int64),
            tensor_cost=np.array([sizes[v] for v in heads], np.int64),
            capacity=None,
        ),
    )


def read_regal(name: str) -> ModelGraph:
    """Return the graph that a name such as ``regal-er-150-100`` stands for.

    Raises
    ------
    UserError
        If the name is not of that form, or names no graph.
    """
    match = re.fullmatch(rf"{PREFIX}([a-z]+)-(\d{{1,9}})-(\d{{1,18}})", name)
    if match is None or name != regal_name(match[1], int(match[2]), int(match[3])):
        raise UserError(
            f"no generated graph is called {name!r}",
            hint=f"write {PREFIX}FAMILY-NODES-SEED, such as {regal_name('er', 150, 100)}",
        )
    return regal_graph(match[1], int(match[2]), int(match[3]))


def _cost(random: Random) -> int:
    # A draw of exactly 0 has no quantile; both tails are beyond anything that rounds to a positive cost anyway.
    return max(1, round(_COSTS.inv_cdf(max(random.random(), 2.0**-53))))


def _pick(random: Random, count: int) -> int:
    return int(random.random() * count)


def _erdos_renyi(random: Random, n: int) -> _Edges:
    return {(u, v) for u in range(n) for v in range(u + 1, n) if random.random() < 0.05}


def _barabasi_albert(random: Random, n: int) -> _Edges:
    edges: _Edges = {(0, 1), (0, 2)}
    ends = [0, 1, 0, 2]
    for v in range(3, n):
        chosen: list[int] = []
        while len(chosen) < 2:
            u = ends[_pick(random, len(ends))]
            if u not in chosen:
                chosen.append(u)
        for u in chosen:
            edges.add((u, v))
            ends += [u, v]
    return edges


def _watts_strogatz(random: Random, n: int) -> _Edges:
    links = [(u, (u + step) % n) for step in (1, 2) for u in range(n)]
    edges = {(min(link), max(link)) for link in links}
    for u, v in links:
        if random.random() < 0.3:
            # Some end is always free: no node comes near to knowing all others in a graph of 2 n edges and n >= 10.
            free = [w for w in range(n) if w != u and (min(u, w), max(u, w)) not in edges]
            w = free[_pick(random, len(free))] if free else v
            edges.discard((min(u, v), max(u, v)))
            edges.add((min(u, w), max(u, w)))
    return edges


def _stochastic_blocks(random: Random, n: int) -> _Edges:
    block = [4 * v // n for v in range(n)]
    return {
        (u, v) for u in range(n) for v in range(u + 1, n) if random.random() < (0.3 if block[u] == block[v] else 0.01)
    }


FAMILIES: dict[str, Callable[[Random, int], _Edges]] = {
    "er": _erdos_renyi,
    "ba": _barabasi_albert,
    "ws": _watts_strogatz,
    "sbm": _stochastic_blocks,
}
"""The four families, in the order in which sets of them take turns."""

_TITLES = {"er": "Erdos-Renyi", "ba": "Barabasi-Albert", "ws": "Watts-Strogatz", "sbm": "stochastic block model"}

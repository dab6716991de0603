"""Splits by counting: a shared parameter is in the model once, so it counts once."""

from __future__ import annotations

import json

from framework.deploy.tuning.naive import naive_partitions
from framework.formats.native import parse
from framework.model.graph import ModelGraph


def chain(own: list[int], shared: list[tuple[int, list[int]]]) -> ModelGraph:
    """A chain whose nodes use parameters alone, and some of which share others."""
    document = {
        "format": "pipebound-graph",
        "version": 2,
        "nodes": [
            {"name": f"n{v}", "op": "MatMul", "flops": 1, "parameter_bytes": size, "accessed_bytes": 10 + v}
            for v, size in enumerate(own)
        ],
        "tensors": [{"producer": v, "bytes": 1, "consumers": [v + 1]} for v in range(len(own) - 1)],
        "parameters": [{"bytes": size, "users": users} for size, users in shared],
    }
    return parse(json.dumps(document).encode(), "chain.json")


def test_a_shared_parameter_counts_for_the_user_that_reads_most() -> None:
    graph = chain([4, 0, 0, 4], [(16, [0, 3])])
    assert naive_partitions(graph, 2)["equal parameters"].tolist() == [0, 0, 0, 1]
    assert naive_partitions(chain([4, 0, 0, 20], []), 2)["equal parameters"].tolist() == [0, 0, 0, 1]
    # Counted for both, it would fill half of the model by itself.
    assert naive_partitions(chain([20, 0, 0, 20], []), 2)["equal parameters"].tolist() == [0, 1, 1, 1]


def test_parameters_that_are_all_shared_still_give_a_split() -> None:
    assert "equal parameters" in naive_partitions(chain([0, 0, 0], [(8, [0, 1, 2])]), 2)
    assert "equal parameters" not in naive_partitions(chain([0, 0, 0], []), 2)

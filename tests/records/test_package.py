"""The records in the package: a sample of them is priced again in every run of the tests."""

from __future__ import annotations

import random

from framework.records.files import FOLDER, all_records
from framework.records.posing import check_digest, faults_of_graph, faults_of_pair, pose, recordable_pairs
from framework.report.records.rows import Standing, record_rows

SAMPLE = 100
SEED = 20261130
MOST_BYTES = 6 << 20


def test_a_sample_of_records_is_true() -> None:
    """`scripts/records.py verify` checks all of them."""
    of_graph = {records.graph: records for records in all_records()}
    pairs = [(name, k) for name, records in of_graph.items() for k in records.pairs]
    assert pairs
    chosen: dict[str, list[int]] = {}
    for name, k in random.Random(SEED).sample(pairs, min(SAMPLE, len(pairs))):
        chosen.setdefault(name, []).append(k)
    for name, numbers in chosen.items():
        posed = pose(name)
        assert faults_of_graph(of_graph[name], posed) == []
        for k in numbers:
            assert faults_of_pair(of_graph[name].pairs[k], posed) == [], (name, k)


def test_records_are_of_the_graphs_of_the_catalogue() -> None:
    possible = recordable_pairs()
    for records in all_records():
        check_digest(records)
        assert set(records.pairs) <= set(possible[records.graph])


def test_records_are_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= MOST_BYTES


def test_every_pair_has_a_row() -> None:
    rows = record_rows()
    pairs = [(name, k) for name, numbers in recordable_pairs().items() for k in numbers]
    assert [(row.graph, row.stages) for row in rows] == pairs
    standing = Standing.of(rows)
    assert standing.pairs == 4118
    assert standing.optimal + standing.open + standing.missing == standing.pairs
    assert all((row.ratio == 1) == (row.state == "optimal") for row in rows if row.ratio is not None)

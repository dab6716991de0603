"""The files of records: what is written is read back, and whatever is damaged is refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Soundness
from framework.errors import UserError
from framework.records.considering import current_records
from framework.records.files import all_records, read_records, records_path, records_text, write_records
from framework.records.pair import BestPartition, Evidence, GraphRecords, PairRecord
from framework.records.posing import PosedGraph
from tests.formats.test_robustness import damaged
from tests.records.test_pair import ORIGIN, bound


@pytest.fixture(scope="module")
def records(posed: PosedGraph) -> GraphRecords:
    """Two pairs, one with two bounds and a partition, one with a bound alone."""
    full = PairRecord(
        stages=2,
        best=BestPartition(ticks=12, runs="0*20 1*9", origin=replace(ORIGIN, credit="Ada")),
        bounds=(bound(11, Evidence.RUN, Soundness.SOLVER), bound(9, Evidence.LOG)),
        longest=10.0,
        spent=12.5,
    )
    return posed.no_records().with_pair(PairRecord(stages=4, bounds=(bound(3, Evidence.CERTIFICATE),))).with_pair(full)


def test_records_are_read_back(records: GraphRecords, tmp_path: Path) -> None:
    path = write_records(records, tmp_path)
    assert read_records(path) == records
    assert list(read_records(path).pairs) == [2, 4]
    assert list(all_records(tmp_path)) == [records]
    assert records_text(read_records(path)) == path.read_text()


def test_a_better_bound_changes_one_line(records: GraphRecords) -> None:
    pair = records.pairs[4]
    better = records.with_pair(replace(pair, bounds=(bound(4, Evidence.CERTIFICATE),)))
    lines = zip(records_text(records).splitlines(), records_text(better).splitlines(), strict=True)
    assert sum(before != after for before, after in lines) == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"graph": "pyg-gin-3"', '"graph": "pyg-gin-4"', "has its records in pyg-gin-4.json"),
        ('"version": 1', '"version": 2', "version 2 is not known"),
        ('"format": "pipebound-records"', '"format": "x"', "not a pipebound-records"),
        ('"device": "reference"', '"device": "mine"', "is not known"),
        ('"sha256": "', '"sha256": "x', "is no SHA-256 digest"),
        ('"date": "2026-11-30"', '"date": "today"', "is no date"),
        ('"evidence": "log"', '"evidence": "word"', "is not known"),
        ('"ticks": 9', '"ticks": 11', "they do not fall"),
        ('"ticks": 12', '"ticks": 10', "a dual bound of 11 exceeds a partition of 10"),
        ('"ticks": 12', '"ticks": 12.5', "is no integer"),
        ('"stages": 4', '"stages": 2', "2 comes after 2"),
        ('"spent": 12.5', '"spent": -1', "spent"),
        ('"spent": 12.5', '"spend": 12.5', "spent"),
        ('"partition": "0*20 1*9"', '"partition": ""', "is no text"),
        ('"ticks_per_second": ', '"ticks_per_second": 0.0, "x": ', "0 is no scale"),
    ],
)
def test_what_is_wrong_is_named(records: GraphRecords, tmp_path: Path, old: str, new: str, said: str) -> None:
    path, text = records_path(records.graph, tmp_path), records_text(records)
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        read_records(path)
    assert said in str(error.value)
    assert str(path) in str(error.value)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_files(
    tmp_path_factory: pytest.TempPathFactory, records: GraphRecords, posed: PosedGraph, seed: int
) -> None:
    path = records_path(records.graph, tmp_path_factory.getbasetemp())
    path.write_bytes(damaged(np.random.default_rng(seed), records_text(records).encode()))
    message = ""
    try:
        read_records(path)
        current_records(posed, path.parent)
    except UserError as error:
        message = str(error)
        assert "\n" not in message
    assert not message or str(path) in message or records.graph in message


def test_records_of_another_version_of_the_graph_say_nothing(
    records: GraphRecords, posed: PosedGraph, tmp_path: Path
) -> None:
    write_records(replace(records, sha256="0" * 64), tmp_path)
    with pytest.raises(UserError, match=r"they are of another graph: its digest was 0000000000000000\.\.\."):
        current_records(posed, tmp_path)
    write_records(replace(records, instance="0" * 64), tmp_path)
    with pytest.raises(UserError, match="the digest of its instance was 0000000000000000 when the records were made"):
        current_records(posed, tmp_path)
    write_records(records, tmp_path)
    assert current_records(posed, tmp_path) == records

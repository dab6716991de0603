"""Records as values: partitions as runs of stages, and which bounds are kept beside each other."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.bounds import Soundness
from framework.model.topology import stable_topological_order
from framework.records.pair import (
    BestPartition,
    Evidence,
    Origin,
    PairRecord,
    ProvedBound,
    stage_runs,
    stages_of_runs,
    strongest,
)
from framework.records.posing import PosedGraph
from framework.testbed.random_graphs import regal_graph

ORIGIN = Origin(source="made", date="2026-11-30", version="0")


def bound(ticks: int, evidence: Evidence, soundness: Soundness = Soundness.EXACT) -> ProvedBound:
    log = "0" * 64 if evidence is Evidence.LOG else ""
    return ProvedBound(ticks=ticks, soundness=soundness, evidence=evidence, origin=ORIGIN, log=log)


BOUNDS = st.builds(bound, st.integers(0, 5), st.sampled_from(Evidence), st.sampled_from(Soundness))


@settings(derandomize=True, deadline=None)
@given(seed=st.integers(0, 99), stages=st.integers(1, 64))
def test_partitions_survive_being_written(seed: int, stages: int) -> None:
    graph = regal_graph("ba", 30, seed)
    stage_of = np.random.default_rng(seed).integers(0, stages, 30)
    assert np.array_equal(stages_of_runs(stage_runs(stage_of, graph), graph), stage_of)


def test_runs_are_of_the_topological_order(posed: PosedGraph) -> None:
    order = stable_topological_order(posed.graph.topology)
    stage_of = np.zeros(len(order), np.int64)
    stage_of[order[20:]] = 1
    stage_of[order[-1]] = 3
    assert stage_runs(stage_of, posed.graph) == "0*20 1*8 3"


@pytest.mark.parametrize(
    ("runs", "said"),
    [
        ("0*28", "the partition is of 28 nodes, the graph has 29"),
        ("", "of 0 nodes"),
        ("0*20 x*9", "'x*9' is no run"),
        ("0*20 -1*9", "no run"),
        ("0*29*1", "no run"),
        ("0*99999999", "no run"),
        ("*29", "no run"),
    ],
)
def test_damaged_runs_are_refused(posed: PosedGraph, runs: str, said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("*", r"\*")):
        stages_of_runs(runs, posed.graph)


@settings(derandomize=True, deadline=None)
@given(bounds=st.lists(BOUNDS, max_size=6))
def test_kept_bounds_are_those_that_nothing_beats(bounds: list[ProvedBound]) -> None:
    kept = strongest(bounds)
    for other in bounds:
        assert any(one.ticks >= other.ticks and one.strength >= other.strength for one in kept)
    for first, second in pairwise(kept):
        assert first.ticks > second.ticks
        assert first.strength < second.strength
    assert strongest([*kept, *bounds]) == kept


def test_words_from_the_weakest_to_the_strongest() -> None:
    ways = [bound(1, Evidence.RUN, soundness) for soundness in reversed(Soundness)]
    ways += [bound(1, Evidence.CERTIFICATE), bound(1, Evidence.LOG)]
    assert [way.words for way in ways] == [
        "tolerance",
        "solver",
        "certified code",
        "exact code",
        "certificate",
        "proof log",
    ]
    assert [way.strength for way in ways] == sorted({way.strength for way in ways})


def test_a_pair_is_open_until_both_sides_meet() -> None:
    best = BestPartition(ticks=10, runs="0*29", origin=ORIGIN)
    assert PairRecord(stages=2).is_open
    assert PairRecord(stages=2, best=best, bounds=(bound(9, Evidence.LOG),)).is_open
    assert not PairRecord(stages=2, best=best, bounds=(bound(10, Evidence.RUN),)).is_open

"""Windows never exclude a partition that keeps to the threshold."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framework.errors import OutOfTimeError
from framework.model.instance import instance_from_lists
from framework.model.problem import Partition, Problem, bottleneck
from framework.structure.poset.stage_windows import StageWindows
from framework.testing.brute_force import brute_force_optimum
from framework.testing.instances import random_layered_instance
from tests.structure.plain_definitions import mixed_instance


@settings(derandomize=True, deadline=None, max_examples=120)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_windows_hold_every_partition_within_the_threshold(seed: int, stages: int) -> None:
    problem = Problem(instance=mixed_instance(seed, max_nodes=6), stages=stages)
    optimum = brute_force_optimum(problem)
    windows = StageWindows(problem.instance)
    for threshold in (optimum, optimum + optimum // 4):
        found = windows.at(stages, threshold)
        assert found is not None
        for stage_of in product(range(stages), repeat=problem.instance.n):
            partition = Partition(stage_of=np.array(stage_of))
            try:
                within = bottleneck(problem, partition) <= threshold
            except ValueError:
                continue
            if within:
                assert (found.earliest <= partition.stage_of).all()
                assert (partition.stage_of <= found.latest).all()


def test_a_chain_has_narrow_windows() -> None:
    windows = StageWindows(instance_from_lists([4, 4, 4, 4], [(v, 0, [v + 1]) for v in range(3)])).at(4, 4)
    assert windows is not None
    assert windows.earliest.tolist() == windows.latest.tolist() == [0, 1, 2, 3]


def test_too_low_a_threshold_is_refuted() -> None:
    chain = instance_from_lists([4, 4, 4, 4], [(v, 0, [v + 1]) for v in range(3)])
    assert StageWindows(chain).at(3, 4) is None
    assert StageWindows(chain).at(4, 3) is None
    assert StageWindows(chain).at(4, 0) is None


def test_parameters_narrow_windows_too() -> None:
    full = instance_from_lists([0, 0], [(0, 0, [1])], parameter_cost=[6, 6], capacity=4)
    windows = StageWindows(full).at(2, 3)
    assert windows is not None
    assert windows.earliest.tolist() == windows.latest.tolist() == [0, 1]
    assert StageWindows(full).at(1, 3) is None


def test_a_shared_parameter_is_behind_the_first_user_and_before_the_last() -> None:
    chain = instance_from_lists([2, 2, 2], [(0, 0, [1]), (1, 0, [2])], capacity=1, shared=[(4, [0, 1])])
    windows = StageWindows(chain).at(3, 5)
    assert windows is not None
    assert windows.earliest.tolist() == [0, 1, 1]
    assert windows.latest.tolist() == [1, 1, 2]


def test_stopping_is_obeyed() -> None:
    with pytest.raises(OutOfTimeError):
        StageWindows(random_layered_instance(1, 600), lambda: True)

from __future__ import annotations

import os

from framework.deploy.pipeline.hand_over import hand_over_seconds


def test_a_tensor_takes_some_time_and_this_process_keeps_its_cores() -> None:
    cores = os.sched_getaffinity(0)
    assert 0 < hand_over_seconds() < 0.1
    assert os.sched_getaffinity(0) == cores

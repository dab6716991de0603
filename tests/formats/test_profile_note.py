from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from framework.errors import UserError
from framework.formats.native import native_text
from framework.formats.profile_note import NOTE, measured_device
from framework.model.device import Device
from tests.model.test_pricing import physical

MEASURED = physical(seconds=np.array([1.0, 2.0]))


def profiled(folder: Path, **note: object) -> str:
    path = folder / "p.graph.json"
    path.write_text(native_text(MEASURED, {NOTE: note}))
    return str(path)


def test_both_figures_of_a_profile_count(tmp_path: Path) -> None:
    path = profiled(tmp_path, copy_bandwidth=6e9, link_latency=3e-6)
    device = measured_device(MEASURED, path)
    assert device is not None
    assert (device.link_bandwidth, device.link_latency) == (2e9, 3e-6)
    given = measured_device(MEASURED, path, 1e9)
    assert given is not None
    assert (given.link_bandwidth, given.link_latency) == (1e9, 3e-6)


def test_a_profile_from_before_there_was_a_latency(tmp_path: Path) -> None:
    device = measured_device(MEASURED, profiled(tmp_path, copy_bandwidth=6e9))
    assert device is not None
    assert (device.link_bandwidth, device.link_latency) == (2e9, 0.0)


def test_refined_figures_replace_measured_ones(tmp_path: Path) -> None:
    refined = {"link_bandwidth": 5e8, "link_latency": 7e-6}
    device = measured_device(MEASURED, profiled(tmp_path, copy_bandwidth=6e9, link_latency=3e-6, refined=refined))
    assert device is not None
    assert (device.link_bandwidth, device.link_latency) == (5e8, 7e-6)


def test_without_a_profile_only_a_given_bandwidth_makes_a_device(tmp_path: Path) -> None:
    path = tmp_path / "g.graph.json"
    path.write_text(native_text(MEASURED, {}))
    assert measured_device(MEASURED, str(path)) is None
    assert measured_device(MEASURED, str(path), 1e9) == Device(name="measured", link_bandwidth=1e9)


@pytest.mark.parametrize("value", [-1e-6, "5us", True, 1e301])
def test_a_latency_that_is_no_number_of_seconds(tmp_path: Path, value: object) -> None:
    path = profiled(tmp_path, copy_bandwidth=6e9, link_latency=value)
    with pytest.raises(UserError, match=r"the profile's link_latency is .*give a `device`"):
        measured_device(MEASURED, path)

from __future__ import annotations

import math
from pathlib import Path

import pytest

from framework.errors import UserError
from framework.model.device import Device, load_device, preset_devices

GOOD = 'name = "mine"\npeak_flops = 1e12\nmemory_bandwidth = 5e10\nlink_bandwidth = 1000000000\nfast_memory = 0\n'


@pytest.mark.parametrize("device", preset_devices().values(), ids=lambda device: device.name)
def test_presets_are_complete(device: Device) -> None:
    figures = (device.peak_flops, device.memory_bandwidth, device.link_bandwidth, device.fast_memory)
    assert all(figure is not None and figure > 0 for figure in figures)
    assert len(device.source) > 80
    # No source of ours states what handing over one tensor costs beside its bytes.
    assert device.link_latency == 0
    assert load_device(device.name) is device


def test_the_presets_promised() -> None:
    presets = preset_devices()
    assert {"reference", "edge-tpu", "tpu-v5e", "a100", "h100", "xeon-8380"} <= set(presets)
    reference = presets["reference"]
    assert (reference.peak_flops, reference.memory_bandwidth, reference.link_bandwidth) == (4e12, 100e9, 16e9)
    assert reference.fast_memory == 16 * 2**20
    assert presets["edge-tpu"].fast_memory == 8e6


def test_a_file_describes_a_device(tmp_path: Path) -> None:
    path = tmp_path / "box.toml"
    path.write_text(GOOD)
    device = load_device(str(path))
    assert device == Device(
        name="mine", peak_flops=1e12, memory_bandwidth=5e10, link_bandwidth=1e9, fast_memory=0.0, source=""
    )
    path.write_text(GOOD + "link_latency = 2e-5\n")
    assert load_device(str(path)) == device.override(link_latency=2e-5)
    path.write_text("link_bandwidth = 1.5\n")
    assert load_device(str(path)) == Device(name="box", link_bandwidth=1.5)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (GOOD + "colour = 1", "colour: there is no such key (the keys here are peak_flops"),
        (GOOD.replace("1e12", "'fast'"), 'peak_flops: "fast" is no number'),
        (GOOD.replace("1e12", "true"), "peak_flops: true is no number"),
        (GOOD.replace("1e12", "-1"), "peak_flops is -1.0 (give a positive number)"),
        (GOOD.replace("1e12", "0"), "peak_flops is 0.0 (give a positive number)"),
        (GOOD.replace("1e12", "nan"), "peak_flops: NaN is no number"),
        (GOOD.replace("1e12", "inf"), "peak_flops: Infinity is no number"),
        (GOOD.replace("1e12", "9" * 400), "peak_flops: 9999999999999999999999999999999999999... is no number"),
        (GOOD.replace("1e12", "9" * 5000), "not a TOML file"),
        (GOOD.replace("= 0", "= -1"), "fast_memory is -1.0"),
        (GOOD.replace("= 0", "= nan"), "fast_memory: NaN is no number"),
        (GOOD + "link_latency = -1e-6", "link_latency is -1e-06 (give 0 or a positive number)"),
        (GOOD + "link_latency = inf", "link_latency: Infinity is no number"),
        (GOOD + "link_latency = '5us'", 'link_latency: "5us" is no number'),
        ("peak_flops =", "not a TOML file"),
        ("x = " + "[" * 5000, "not a TOML file"),
    ],
)
def test_bad_files(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "box.toml"
    path.write_text(content)
    with pytest.raises(UserError) as caught:
        load_device(str(path))
    assert expected in str(caught.value)
    assert "mine" in caught.value.where or str(path) in caught.value.where


def test_unreadable_devices(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no device is called 'a1000'.*choose one of reference, edge-tpu"):
        load_device("a1000")
    with pytest.raises(UserError, match="there is no such file"):
        load_device(str(tmp_path / "none.toml"))
    folder = tmp_path / "folder.toml"
    folder.mkdir()
    with pytest.raises(UserError, match="directory"):
        load_device(str(folder))
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8 text"):
        load_device(str(binary))


def test_override() -> None:
    device = load_device("reference")
    assert device.override(link_latency=5e-6).link_latency == 5e-6
    assert device.override(link_latency=5e-6).override(link_latency=0).link_latency == 0
    faster = device.override(link_bandwidth=1e9, fast_memory=0)
    assert (faster.link_bandwidth, faster.fast_memory, faster.peak_flops) == (1e9, 0, device.peak_flops)
    assert device.override() is device
    with pytest.raises(UserError, match="link_bandwidth is -1"):
        device.override(link_bandwidth=-1)


def test_figures_for_a_result_file() -> None:
    assert Device(name="d", fast_memory=math.inf).as_dict() == {
        "name": "d",
        "peak_flops": None,
        "memory_bandwidth": None,
        "link_bandwidth": None,
        "link_latency": 0.0,
        "fast_memory": None,
        "source": "",
    }

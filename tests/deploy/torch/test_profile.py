"""Measuring exported programs; skipped where torch is not installed. No test asserts a time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from framework.deploy.measurement import write_profile  # noqa: E402
from framework.deploy.torch.link import Link  # noqa: E402
from framework.deploy.torch.model import TorchModel, open_torch_model  # noqa: E402
from framework.deploy.torch.profile import TorchProfile, profile_program  # noqa: E402
from framework.errors import UserError  # noqa: E402
from framework.formats import read_graph  # noqa: E402
from framework.formats.profile_note import measured_device  # noqa: E402
from framework.formats.torch.export.files import export  # noqa: E402
from framework.model.graph import PhysicalCosts  # noqa: E402
from tests.formats.torch.programs import Branches, Counting, Tied, tokens  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning")

LINK = Link(latency=2e-4, bandwidth=1e9)


def saved(folder: Path, module: Any, args: Any, kwargs: Any = None) -> TorchModel:
    path = folder / "model.pt2"
    torch.export.save(export(module.eval(), args, kwargs), path)
    return open_torch_model(path)


def seconds_of(profile: TorchProfile) -> dict[str, float]:
    assert isinstance(profile.graph.costs, PhysicalCosts)
    both = profile.graph.costs.seconds + np.nan_to_num(profile.graph.costs.backward_seconds)
    return dict(zip(profile.graph.node_names, both.tolist(), strict=True))


@pytest.mark.parametrize("backward", [False, True])
def test_nodes_that_compute_have_seconds_that_add_up_to_the_whole(tmp_path: Path, backward: bool) -> None:
    model = saved(tmp_path, Branches(), (torch.randn(1, 3, 6, 6),), {"scale": torch.ones(())})
    profile = profile_program(model, warm_up=1, repetitions=4, backward=backward, link=LINK)
    seconds = seconds_of(profile)
    assert sum(seconds.values()) == pytest.approx(profile.latency[1])
    assert seconds["stem.conv2d"] > 0
    assert all(value == 0 for name, value in seconds.items() if name.startswith("slice"))
    assert {row["name"] for row in profile.operators} == {name for name, value in seconds.items() if value}
    assert profile.kernels + profile.overhead == pytest.approx(profile.latency[1])
    assert profile.note()["backward"] is backward
    assert isinstance(profile.graph.costs, PhysicalCosts)
    assert bool(np.isnan(profile.graph.costs.backward_seconds).all()) is not backward


def test_a_profile_is_a_graph_that_states_its_link(tmp_path: Path) -> None:
    model = saved(tmp_path, Tied(), (tokens(2, 5),))
    profile = profile_program(model, warm_up=0, repetitions=3, link=LINK)
    write_profile(profile, tmp_path / "tied.graph.json")
    graph = read_graph(tmp_path / "tied.graph.json")
    assert graph.node_names == model.node_names
    assert not np.isnan(graph.costs.seconds).any()  # type: ignore[union-attr]
    device = measured_device(graph, str(tmp_path / "tied.graph.json"))
    assert device is not None
    assert (device.link_bandwidth, device.link_latency) == (1e9, 2e-4)


def test_measuring_takes_no_gradients_of_inputs_and_leaves_the_parameters(tmp_path: Path) -> None:
    model = saved(tmp_path, Tied(), (tokens(2, 5),))
    before = {name: value.clone() for name, value in model.program.module.named_parameters()}
    profile_program(model, warm_up=0, repetitions=3, backward=True, link=LINK)
    for name, value in model.program.module.named_parameters():
        assert torch.equal(value, before[name])
        assert value.grad is None


def test_what_cannot_be_measured_is_refused(tmp_path: Path) -> None:
    with torch.device("meta"):
        module = torch.nn.Linear(4, 4)
    model = saved(tmp_path, module, (torch.randn(2, 4, device="meta"),))
    with pytest.raises(UserError, match=r"'weight' is on the device meta \(export it with weights\)"):
        profile_program(model, link=LINK)
    counting = saved(tmp_path, Counting(), (torch.randn(3, 4),))
    with pytest.raises(UserError, match="there is no clock 'sun'"):
        profile_program(counting, clock="sun", link=LINK)
    with pytest.raises(UserError, match="too few repetitions"):
        profile_program(counting, repetitions=2, link=LINK)


@pytest.mark.slow
def test_the_link_is_measured_between_two_processes() -> None:
    from framework.deploy.torch.link import measure_link

    link = measure_link()
    assert 0 < link.latency < 1
    assert link.bandwidth > 1e5

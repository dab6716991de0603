"""Refining a split of an exported program; skipped where torch is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from framework.deploy.measurement import write_profile  # noqa: E402
from framework.deploy.split.assignment import assign  # noqa: E402
from framework.deploy.split.manifest import read_manifest  # noqa: E402
from framework.deploy.torch.link import Link  # noqa: E402
from framework.deploy.torch.model import open_torch_model  # noqa: E402
from framework.deploy.torch.profile import profile_program  # noqa: E402
from framework.deploy.torch.split import split_program  # noqa: E402
from framework.deploy.tuning.refine import refine_split  # noqa: E402
from framework.formats import read_graph  # noqa: E402
from framework.formats.torch.export.files import export  # noqa: E402
from framework.portfolio.records import GraphInput  # noqa: E402
from framework.portfolio.settings import Session, Settings  # noqa: E402
from framework.portfolio.solve import solve  # noqa: E402
from tests.formats.torch.programs import Tied, tokens  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]


def test_the_winner_is_written_with_the_graph_of_corrected_costs(tmp_path: Path) -> None:
    torch.export.save(export(Tied(), (tokens(2, 5),)), tmp_path / "tied.pt2")
    model = open_torch_model(tmp_path / "tied.pt2")
    # Handing over is said to be so cheap that two stages are worth while.
    profile = profile_program(model, warm_up=1, repetitions=3, link=Link(latency=1e-9, bandwidth=1e12))
    write_profile(profile, tmp_path / "tied.graph.json")
    result = solve(
        read_graph(tmp_path / "tied.graph.json"),
        2,
        settings=Settings(device=profile.device, entry="ideal-dp", budget=10.0),
        session=Session(graph_input=GraphInput(path=str(tmp_path / "tied.graph.json"))),
    )
    assigned = assign(model, result)
    first = split_program(model, assigned.stage_of, tmp_path / "stages", predicted=assigned.predicted)
    assert len(first.stages) == 2
    refinement = refine_split(first, tmp_path / "better", rounds=1, race_rounds=5, items=8, affinity=False)
    manifest = read_manifest(tmp_path / "better")
    assert manifest.document["runtime"] == "torch"
    assert manifest.document["refined"]["winner"] == refinement.outcome.winner.name  # type: ignore[union-attr]
    assert manifest.document["predicted"]["status"] == "refined"
    assert read_graph(tmp_path / "better" / "graph.json").node_names == model.node_names
    assert sorted(name for row in manifest.stages for name in row["nodes"]) == sorted(model.node_names)

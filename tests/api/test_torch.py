"""Results of exported programs from Python; skipped where torch is not installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'pipebound[torch]'")

from torch.distributed import pipelining  # noqa: E402

import pipebound  # noqa: E402
import pipebound.torch  # noqa: E402
from framework.errors import UserError  # noqa: E402
from tests.formats.torch.programs import Tied, tokens  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::FutureWarning"),
]


@pytest.fixture(scope="module")
def solved() -> tuple[Any, pipebound.Result]:
    exported = pipebound.torch.export(Tied(), (tokens(2, 5),))
    return exported, pipebound.solve(exported, 2, settings=pipebound.Settings(budget=5.0))


def at(solved: tuple[Any, pipebound.Result], name: str) -> pipebound.Result:
    """Return the result with a cut before a node."""
    graph = pipebound.torch.read(solved[0])
    cut = graph.node_names.index(name)
    return replace(solved[1], stage_of=tuple(int(v >= cut) for v in range(graph.topology.n)))


def test_a_program_is_a_graph_of_its_own(solved: tuple[Any, pipebound.Result]) -> None:
    exported, result = solved
    assert result.graph.name == "Tied"
    assert result.graph.sha256 == pipebound.from_torch(exported).sha256() == pipebound.torch.read(exported).sha256()


def test_stages_and_files(solved: tuple[Any, pipebound.Result], tmp_path: Path) -> None:
    exported, result = solved
    result = at(solved, "layers.1.linear")
    first, second = pipebound.torch.stages(exported, result)
    assert first.outputs == second.received == ("add.1",)
    torch.export.save(exported, tmp_path / "tied.pt2")
    manifest = pipebound.torch.split(tmp_path / "tied.pt2", result, tmp_path / "stages")
    assert [row["nodes"] for row in manifest.stages] == [list(first.nodes), list(second.nodes)]
    with pytest.raises(UserError, match="a split is made of a file"):
        pipebound.torch.split(exported, result, tmp_path / "others")
    with pytest.raises(UserError, match="a Tied is no exported program"):
        pipebound.torch.stages(Tied(), result)
    with pytest.raises(UserError, match="the result is of 11 nodes, and the program has 8"):
        pipebound.torch.stages(pipebound.torch.export(Tied(2), (tokens(2, 5),)), result)


def test_a_policy_and_a_spec_cut_alike(solved: tuple[Any, pipebound.Result]) -> None:
    exported = solved[0]
    result = at(solved, "layers.1.linear")
    spec = pipebound.torch.split_spec(exported, result)
    assert spec == {"layers.1": pipelining.SplitPoint.BEGINNING}
    policy = pipebound.torch.split_policy(exported, result)
    with torch.no_grad():
        expected = Tied().eval()(tokens(2, 5))
        for how in ({"split_spec": spec}, {"split_policy": policy}):
            pipe = pipelining.pipeline(Tied().eval(), (tokens(2, 5),), **how)
            assert pipe.num_stages == 2
            torch.testing.assert_close(torch.utils._pytree.tree_leaves(pipe(tokens(2, 5)))[0], expected)

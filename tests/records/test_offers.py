"""What of a result counts: everything is checked again, and a bound that is merely stated does not count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.device import load_device
from framework.portfolio.constraints import Constraints
from framework.portfolio.logs.write import proof_of
from framework.portfolio.result import Result
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.proof.log import write_log
from framework.records.considering import consider
from framework.records.offers import Circumstances, FalseResultError, Trust, digest_of_log, name_of_graph, offer_of
from framework.records.pair import Evidence
from framework.records.posing import PosedGraph, faults_of_graph, faults_of_pair

Document = dict[str, Any]
STATED = Circumstances(where="it", date="2026-11-30", check_seconds=0.0)


def test_a_bound_without_a_certificate_counts_by_a_log_that_is_written_from_it(
    posed: PosedGraph, solved: Result, document: Document, tmp_path: Path
) -> None:
    given = Circumstances(where="it", date="2026-11-30", keep_logs=tmp_path)
    found = consider(document, posed, posed.no_records(), given)
    assert found.offer.refused == ""
    (top,) = found.offer.bounds
    assert (top.ticks, top.evidence) == (solved.dual_ticks, Evidence.LOG)
    assert top.log == digest_of_log(proof_of(solved, posed.graph))
    assert [path.name for path in tmp_path.iterdir()] == [f"{posed.name}-k2.proof.json.xz"]
    pair = found.records.pairs[2]
    assert not pair.is_open
    assert faults_of_pair(pair, posed) == faults_of_graph(found.records, posed) == []


def test_a_log_that_comes_with_the_result_counts(
    posed: PosedGraph, solved: Result, document: Document, tmp_path: Path
) -> None:
    path = tmp_path / "proof.json"
    write_log(proof_of(solved, posed.graph), path)
    offer = offer_of(document, posed, Circumstances(where="it", date="2026-11-30", proof=path, check_seconds=0.0))
    assert offer.bounds[0].evidence is Evidence.LOG
    path.write_text(path.read_text().replace(f'_ticks":{solved.dual_ticks}', f'_ticks":{(solved.dual_ticks or 0) + 1}'))
    with pytest.raises(FalseResultError, match="this is false in it: dual bound"):
        offer_of(document, posed, Circumstances(where="it", date="2026-11-30", proof=path, check_seconds=0.0))


def test_a_stated_bound_counts_in_own_runs_only(posed: PosedGraph, solved: Result, document: Document) -> None:
    stranger = offer_of(document, posed, STATED)
    assert stranger.refused.startswith(f"neither a certificate nor a proof log shows the bound {solved.dual_ticks} of")
    assert all(bound.evidence is Evidence.CERTIFICATE for bound in stranger.bounds)
    assert max(bound.ticks for bound in stranger.bounds) < (solved.dual_ticks or 0)
    own = Circumstances(where="it", date="2026-11-30", check_seconds=0.0, trust=Trust.OWN_RUN)
    ours = offer_of(document, posed, own)
    assert ours.refused == ""
    assert (ours.bounds[0].ticks, ours.bounds[0].words) == (solved.dual_ticks, "exact code")


def _forge_bound(document: Document) -> None:
    """State a bound that equals the partition, as a forger would: consistently."""
    row = next(row for row in document["bounds"] if row["source"] == "simple")
    row["ticks"] = row["ticks"] * 2


def _forge_partition(document: Document) -> None:
    document["incumbent_ticks"] -= 1


def _forge_stages(document: Document) -> None:
    document["stage_of"] = document["stage_of"][::-1]


@pytest.mark.parametrize("forge", [_forge_bound, _forge_partition, _forge_stages])
def test_false_results_are_refused(posed: PosedGraph, document: Document, forge: Callable[[Document], None]) -> None:
    forge(document)
    with pytest.raises(FalseResultError, match="it: this is false in it: "):
        offer_of(document, posed, STATED)


def _other_stages(document: Document) -> None:
    document["stages"] = 3


def _other_device(document: Document) -> None:
    document["device"]["link_bandwidth"] *= 2


def _other_version(document: Document) -> None:
    document["graph"]["sha256"] = "0" * 64


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_other_stages, r"there are no records of 3 stages \(they are of 2, 4, 8, 16\)"),
        (_other_device, "it is for reference, and records are for reference"),
        (_other_version, "it is of another graph than pyg-gin-3, or of another version of it"),
    ],
)
def test_other_problems_are_refused(
    posed: PosedGraph, document: Document, change: Callable[[Document], None], said: str
) -> None:
    change(document)
    with pytest.raises(UserError, match=said):
        offer_of(document, posed, STATED)


def test_constrained_results_are_refused(posed: PosedGraph) -> None:
    settings = Settings(device=load_device("reference"), entry="slice-graph", budget=20.0, workers=1)
    pinned = Constraints(pins=((posed.graph.node_names[0], 0),))
    document = solve(posed.graph, 2, settings=settings, constraints=pinned).as_dict()
    with pytest.raises(UserError, match=r"its partition had to obey .*, and records are without constraints"):
        offer_of(document, posed, STATED)


def test_the_graph_is_known_by_digest_path_or_name(document: Document) -> None:
    document["graph"]["path"] = "elsewhere.json"
    assert name_of_graph(document, "it") == "pyg-gin-3"
    document["graph"]["name"] = "mine"
    with pytest.raises(UserError, match="it: the graph 'mine' is not in the testbed"):
        name_of_graph(document, "it")
    document["graph"]["sha256"] = read_graph("testbed:vgg19").named_sha256()
    assert name_of_graph(document, "it") == "vgg19"

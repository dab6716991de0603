"""A small graph of the testbed, and a result of it that is proved by an ideal program."""

from __future__ import annotations

from typing import Any

import pytest

from framework.model.device import load_device
from framework.portfolio.portfolio_file import load_entries
from framework.portfolio.result import Result
from framework.portfolio.settings import Session, Settings
from framework.portfolio.solve import solve
from framework.records.posing import PosedGraph, pose

GRAPH = "pyg-gin-3"


@pytest.fixture(scope="session")
def posed() -> PosedGraph:
    """A graph of 29 nodes, priced as records are."""
    load_entries(())
    return pose(GRAPH)


@pytest.fixture(scope="session")
def solved(posed: PosedGraph) -> Result:
    """Its optimum for two stages."""
    settings = Settings(device=load_device("reference"), entry="ideal-dp", budget=3600.0, workers=1)
    result = solve(posed.graph, 2, settings=settings, session=Session())
    assert result.status == "optimal"
    return result


@pytest.fixture
def document(solved: Result) -> dict[str, Any]:
    """Its document, to be changed."""
    return solved.as_dict()

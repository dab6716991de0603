"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# scripts/test compiles everything beforehand; a single test must not wait for what it does not need.
os.environ.setdefault("PIPEBOUND_COMPILE", "never")

REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published inputs that this package does not ship; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the published inputs are not at {SHARED_DATA.name}/ beside the checkout")
    return SHARED_DATA

"""Fixtures shared by all tests."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from tests.skips.permitted import pytest_addoption as pytest_addoption
from tests.skips.permitted import pytest_configure as pytest_configure

# scripts/test compiles everything beforehand; a single test must not wait for what it does not need.
os.environ.setdefault("PIPEBOUND_COMPILE", "never")
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")


def pytest_collection_finish() -> None:
    """Let Hypothesis draw the same examples in every process.

    It draws constants of our modules too, of those that are imported: other ones with each choice of tests. There is no
    setting for that, and `derandomize` does not change it.
    """
    if providers := sys.modules.get("hypothesis.internal.conjecture.providers"):
        names = vars(providers)
        assert callable(names["_get_local_constants"])
        names["_get_local_constants"] = lambda: names["_local_constants"]


REPOSITORY = Path(__file__).resolve().parent.parent
SHARED_DATA = REPOSITORY.parent / "shared" / "data"


def module_of(path: Path, listed: pytest.MonkeyPatch | None = None) -> ModuleType:
    """Run a file that is in no package, such as a script, as a module of its own.

    With `listed` the module is in `sys.modules` for the time of the test, as its dataclasses may need.
    """
    spec = importlib.util.spec_from_file_location(f"{path.stem}_of_tests", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if listed is not None:
        listed.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of published inputs that this package does not ship; skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"the published inputs are not at {SHARED_DATA.name}/ beside the checkout")
    return SHARED_DATA

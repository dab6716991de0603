"""The methods reference is what the registry and the docstrings say now."""

from __future__ import annotations

import re

from framework.contracts import Feature
from framework.registry import Kind, load_plugins, registry
from framework.report.methods_page import BUILT_IN, methods_page
from tests.conftest import REPOSITORY

load_plugins()
PAGE = REPOSITORY / "docs" / "methods.md"


def test_the_committed_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == methods_page(), "run scripts/build_docs"


def test_every_entry_has_its_proof_and_parameters() -> None:
    page = methods_page()
    sections = {part.split("\n", 1)[0]: part for part in page.split("\n### ")[1:]}
    for entry in registry.entries():
        package = entry.factory.__module__.split(".")[0]
        if package not in BUILT_IN:
            assert entry.name not in sections
            continue
        section = sections[entry.name]
        assert entry.reference in section
        for parameter in entry.parameters():
            row = next(line for line in section.splitlines() if line.startswith(f"| `{parameter.name}`"))
            cells = re.split(r"(?<!\\)\|", row)
            assert len(cells) == 6
            assert cells[4].strip(), f"{entry.name}: the meaning of {parameter.name} is not documented"
        if entry.supports(Feature.DUAL) and entry.kind is Kind.FORMULATION:
            assert "valid" in section.lower() or "because" in section.lower(), f"{entry.name} gives no proof"


def test_the_structure_behind_a_proof_is_there() -> None:
    page = methods_page()
    for module in ("fluid.chain_dp", "fluid.core", "ideals.chain_dp", "reduction.dominance", "flow.convex_cuts"):
        assert f"\n### framework.structure.{module}\n" in page
    assert "in + done" in page

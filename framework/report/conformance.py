"""What `pipebound check` shows."""

from __future__ import annotations

from collections.abc import Sequence

from framework.report.console import open_console, styled
from framework.report.layout import FactTable
from framework.testing.conformance import ConformanceCheck
from framework.wording import counted


def print_checks(entry: str, seeds: int, checks: Sequence[ConformanceCheck]) -> None:
    """Print one row a check, and how many passed."""
    console = open_console()
    table = FactTable(f"{entry}, {counted(seeds, 'random problem')}")
    table.texts("", "check")
    table.numbers("time")
    table.texts("detail", most=80)
    for check in checks:
        mark = styled("ok", "green") if check.passed else styled("FAILED", "red")
        table.row(mark, check.name, f"{check.seconds:.2f} s", check.detail)
    console.print(table)
    failed = sum(not check.passed for check in checks)
    passed = counted(len(checks) - failed, "check")
    console.print(f"{passed} passed" + (f", {failed} failed." if failed else "."), style="red" if failed else "green")

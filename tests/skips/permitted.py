"""A whole run of the tests fails if it skips one that `permitted.toml` does not list, with its reason."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

OPTION = "--permitted-skips"
RUNS = ("plain", "torch")
LIST = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Permitted:
    """Tests that may be skipped, for a reason that begins so; `because` says why."""

    run: str
    tests: tuple[str, ...]
    reason: str
    because: str

    def covers(self, node: str, reason: str) -> bool:
        """Return whether a test, or a file that was skipped as a whole, is one of these."""
        named = any(node == name or node.startswith((f"{name}/", f"{name}::", f"{name}[")) for name in self.tests)
        return named and reason.startswith(self.reason)


def read_list() -> list[Permitted]:
    """Return the list of permitted skips."""
    rows = tomllib.loads(LIST.read_text(encoding="utf-8"))["skip"]
    return [Permitted(**(row | {"tests": tuple(row["tests"])})) for row in rows]


@dataclass(slots=True, eq=False)
class SkipCheck:
    """Notes skipped tests, and fails the run for those that no row covers."""

    permitted: Sequence[Permitted]
    others: list[str] = field(default_factory=list)

    def note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Note what was skipped without permission."""
        # An expected failure is reported as skipped, too.
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(row.covers(report.nodeid, reason) for row in self.permitted):
            self.others.append(f"{report.nodeid}: {reason}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Look at a test."""
        self.note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Look at a file."""
        self.note(report)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run."""
        if self.others and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say why."""
        for line in sorted(set(self.others)):
            terminalreporter.write_line(f"SKIPPED WITHOUT PERMISSION (tests/skips/{LIST.name}): {line}", red=True)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that turns the check on."""
    text = f"fail if a test is skipped that tests/skips/{LIST.name} does not permit in this run"
    parser.addoption(OPTION, choices=RUNS, help=text)


def pytest_configure(config: pytest.Config) -> None:
    """Check the skips of this run, if the option asks for it; workers of pytest-xdist leave that to their parent."""
    run = config.getoption(OPTION)
    if run is not None and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SkipCheck([row for row in read_list() if row.run in (run, "any")]))

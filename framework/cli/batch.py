"""`pipebound solve` on several graphs: one after the other, in the same processes, a line for each run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import typer

from framework.cli.spelling import with_options
from framework.errors import UserError
from framework.report.escape import short_words, terminal

if TYPE_CHECKING:
    from framework.portfolio.result import Result
    from framework.signals import Interrupt

FAILED = 2
"""Exit code where a graph could not be solved at all; all others are."""
_ENDINGS = (".gz", ".xz", ".json", ".graph", ".onnx", ".pt2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What is asked of each graph.

    Attributes
    ----------
    solve
        Yields the results of one graph, given its path, when its turn began, and what notes signals; raises a UserError
        where it cannot be read or solved.
    folder
        Where a result file of each run is written to; None for none.
    """

    graphs: Sequence[str]
    stages: Sequence[int]
    solve: Callable[[str, float, Interrupt], Iterator[Result]]
    folder: Path | None
    json_output: bool

    def run(self, started: float) -> int:
        """Solve all graphs, and return the exit code: a graph that fails costs its own results only."""
        from framework.report.tables import Lines
        from framework.signals import Interrupt

        names = file_names(self.graphs)
        if self.folder is not None:
            _make(self.folder)
        lines, failed = Lines(self.graphs), 0
        ended: list[Result] = []
        if not self.json_output:
            typer.echo(terminal(lines.heading()))
        with Interrupt().watch(from_begin=True) as interrupt:
            for graph, name in zip(self.graphs, names, strict=True):
                if interrupt.happened:
                    break
                try:
                    for result in self.solve(graph, started, interrupt):
                        ended.append(result)
                        if self.folder is not None:
                            result.write(self.folder / self._file_name(name, result))
                        line = _json_line(result.as_dict()) if self.json_output else lines.of(graph, result)
                        typer.echo(terminal(line))
                        self._warn(graph, result)
                except UserError as error:
                    failed += 1
                    # What cannot be read is named by the error itself.
                    where = "" if error.where.startswith(graph) else f"{graph}: "
                    words = short_words(with_options(f"{where}{error}"))
                    typer.echo(terminal(f"pipebound: {words}"), err=True)
                    if self.json_output:
                        typer.echo(_json_line({"graph": graph, "error": terminal(words)}))
                started = time.monotonic()
            interrupted = interrupt.happened
        return _exit_code(ended, interrupted=interrupted, failed=failed)

    def _file_name(self, name: str, result: Result) -> str:
        return f"{name}.json" if len(self.stages) == 1 else f"{name}-k{result.stages}.json"

    def _warn(self, graph: str, result: Result) -> None:
        from framework.report.tables import notes

        for line in [] if self.json_output else notes([result]):
            typer.echo(terminal(f"{graph}: {line}"), err=True)


def file_names(graphs: Sequence[str]) -> list[str]:
    """Return a name for the results of each graph: that of its file, with a number where others are called so."""
    names: list[str] = []
    for graph in graphs:
        path = PurePath(graph.removeprefix("testbed:"))
        while path.suffix in _ENDINGS:
            path = path.with_suffix("")
        name, times = path.name, 1
        while name in names:
            times += 1
            name = f"{path.name}-{times}"
        names.append(name)
    return names


def _json_line(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))


def _make(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(
            "this is a file, and there are several graphs", where=str(folder), hint="give the name of a folder"
        )
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"the folder cannot be made: {error.strerror}", where=str(folder)) from None


def _exit_code(results: Sequence[Result], *, interrupted: bool, failed: int) -> int:
    from framework.cli.solve import exit_code

    code = exit_code(results, interrupted=interrupted)
    return FAILED if failed and code in (0, 3) else code

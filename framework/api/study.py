"""`Study`, as a program uses it: run a comparative study, go on after an interruption, read its report."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from framework.errors import UserError
from framework.portfolio.reading import as_result
from framework.portfolio.result import Result
from framework.report.study.export import stored_documents
from framework.report.study.progress import study_progress
from framework.signals import Interrupt
from framework.study.analysis.report import StudyReport, make_report
from framework.study.local import LocalExecutor
from framework.study.spec import StudySpec, read_spec
from framework.study.study import Progress, open_study, run_study


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyProgress:
    """How far a study is.

    Attributes
    ----------
    name
        Of the study.
    planned, done
        Runs of the study, and those of them that are in its store.
    failed, lost
        Runs of this call that have no result, and those that were cut short and are tried again.
    seconds_left
        Estimate from the pace of this call; None before its first run has ended.
    last
        The run that ended last, and how; empty before the first.
    """

    name: str
    planned: int
    done: int
    failed: int
    lost: int
    seconds_left: float | None
    last: str


StudyProgressLike: TypeAlias = bool | Callable[[StudyProgress], None]
"""True to show a study while it runs, or a function that is told of it."""


class Study:
    """A comparative study: many graphs, entries and numbers of stages, kept in one store.

    Parameters
    ----------
    spec
        The study's TOML file (docs/studies.md has its keys).

    Raises
    ------
    UserError
        Naming the key of the file, with a hint.
    """

    def __init__(self, spec: str | os.PathLike[str]) -> None:
        self.spec: StudySpec = read_spec(Path(spec))

    def __repr__(self) -> str:
        return f"<Study {self.spec.name}: {self.spec.path}>"

    def run(
        self,
        *,
        jobs: int | None = None,
        retry_failed: bool = False,
        any_code: bool = False,
        warm: bool = True,
        progress: StudyProgressLike = False,
    ) -> StudyReport:
        """Run what is not in the store yet, on this machine, and return the report.

        Ctrl-C ends it; what had finished is saved, and the next call goes on from there.

        Parameters
        ----------
        jobs
            Runs at a time; as many as fit by default.
        retry_failed
            Whether failed runs are done again.
        any_code
            Whether runs made with another version of the code count as done.
        warm
            Whether to compile all kernels first.
        progress
            True shows how far it is; a function is called with a `StudyProgress` first, and whenever a run has ended.

        Raises
        ------
        UserError
            For a mistake in the spec, a store that somebody else is writing to, or a full disk.
        """
        with (
            Interrupt().watch(from_begin=True) as interrupt,
            open_study(self.spec, any_code=any_code, retry_failed=retry_failed) as study,
        ):
            if study.open_runs:
                executor = LocalExecutor(self.spec.run.workers, jobs, warm=warm)
                try:
                    interrupt.begin()
                    with watch_study(progress, self.spec.name) as on_change:
                        run_study(
                            self.spec, study, executor, on_change=on_change, interrupted=lambda: interrupt.happened
                        )
                finally:
                    executor.close()
        return self.report()

    def report(self, *, subset: str | None = None) -> StudyReport:
        """Return what the runs in the store show, of one subset of graphs only if one is named.

        Raises
        ------
        UserError
            If nothing has been run yet.
        """
        self._check_store()
        return make_report(self.spec.store, subset)

    def results(self) -> Iterator[Result]:
        """Return the results of all runs in the store, one after the other.

        Raises
        ------
        UserError
            If nothing has been run yet, or a document in the store is damaged.
        """
        self._check_store()
        for _, key, document in stored_documents(self.spec.store):
            yield as_result(document, f"{self.spec.store}: documents, run {key}")

    def _check_store(self) -> None:
        if not self.spec.store.exists():
            raise UserError("nothing of this study has been run", where=str(self.spec.store), hint="call run() first")


@contextmanager
def watch_study(progress: StudyProgressLike, name: str) -> Iterator[Callable[[Progress], None]]:
    """Yield what a running study is to call again and again; a function of the caller is told of changes alone."""
    if isinstance(progress, bool):
        with study_progress(name, quiet=not progress) as show:
            yield show
        return
    last: list[tuple[int, int, int]] = []

    def tell(state: Progress) -> None:
        counts = (state.done, state.failed, state.lost)
        if last == [counts]:
            return
        last[:] = [counts]
        progress(
            StudyProgress(
                name=name,
                planned=state.planned,
                done=state.done,
                failed=state.failed,
                lost=state.lost,
                seconds_left=state.seconds_left,
                last=state.last,
            )
        )

    yield tell

"""`Study`, as a program uses it: run a comparative study, go on after an interruption, read its report."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from framework.errors import UserError
from framework.portfolio.reading import as_result
from framework.portfolio.result import Result
from framework.report.study.export import stored_documents
from framework.report.study.progress import study_progress
from framework.signals import Interrupt
from framework.study.analysis.report import StudyReport, make_report
from framework.study.local import LocalExecutor
from framework.study.spec import StudySpec, read_spec
from framework.study.study import open_study, run_study


class Study:
    """A comparative study: many graphs, entries and numbers of stages, kept in one store.

    Parameters
    ----------
    spec
        The study's TOML file (docs/studies.md has its keys).

    Raises
    ------
    UserError
        Naming the key of the file and the mend.
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
        progress: bool = False,
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
            Whether to show how far it is.

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
                    with study_progress(self.spec.name, quiet=not progress) as on_change:
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
            raise UserError("nothing of this study has been run", where=str(self.spec.store), mend="call run() first")

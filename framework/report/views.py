"""How results, comparisons, recommendations, judgements, verdicts and reports look where they are printed or drawn.

`install` registers all of them; ``import pipebound`` calls it when the first of these classes is wanted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from framework.deploy.tuning.recommend import Recommendation
from framework.errors import UserError
from framework.layouts.explain import Explanation
from framework.layouts.judge import Judgement
from framework.portfolio.comparison import ComparedRun, Comparison
from framework.portfolio.result import Result
from framework.portfolio.verification import Verification
from framework.report.comparison import bound_by, found_by, print_comparison
from framework.report.console import Console, as_html, printed
from framework.report.deployment import print_recommendation
from framework.report.splits.explanation import print_explanation
from framework.report.splits.judgement import print_judgement
from framework.report.tables import print_results
from framework.report.verification import print_verification
from framework.shown import register_view
from framework.study.analysis.report import StudyReport

Rows = Sequence[Mapping[str, Any]]


class _Printed:
    """A view that is what a function prints."""

    def show(self, value: Any, console: Console) -> None:
        """Print a value."""
        raise NotImplementedError

    def text(self, value: Any) -> str:
        """Return what is printed, as wide as the terminal."""
        return printed(lambda console: self.show(value, console))

    def html(self, value: Any) -> str:
        """Return what a notebook shows; names are escaped."""
        return as_html(lambda console: self.show(value, console))

    def plot(self, value: Any, path: Path | None) -> Any:
        """Return the figure, and write it where a path is given."""
        from framework.report.plots.canvas import check_suffix, save_figure

        if path is not None:
            check_suffix(path)
        figure = self.draw(value)
        if path is not None:
            save_figure(figure, path)
        return figure

    def draw(self, value: Any) -> Any:
        """Return the figure."""
        raise UserError(f"there is nothing to draw of a {type(value).__name__}", hint="print it")

    def tables(self, value: Any) -> Mapping[str, Rows]:
        """Return tables by name."""
        raise NotImplementedError


class ResultView(_Printed):
    """A result: its interval, its stages, what to make of it."""

    def show(self, value: Result, console: Console) -> None:
        """Print a value."""
        print_results([value], console=console)

    def draw(self, value: Result) -> Any:
        """Return the figure."""
        if value.stage_of is None:
            raise UserError("there is nothing to draw: the result holds no partition")
        from framework.report.plots.result import result_figure

        return result_figure(value)

    def tables(self, value: Result) -> Mapping[str, Rows]:
        """Return the tables ``stages``, ``nodes``, ``bounds``, ``members``, ``trajectory`` and ``memory``."""
        stage_of = value.stage_of or ()
        return {
            "stages": [
                {"stage": b, "nodes": stage_of.count(b), **row.as_dict()} for b, row in enumerate(value.stage_costs)
            ],
            "nodes": [{"name": name, "stage": stage} for name, stage in value.stage_of_name.items()],
            "bounds": [
                {
                    "source": bound.source,
                    "value": bound.value,
                    "ticks": bound.ticks,
                    "soundness": bound.soundness.value,
                    "seconds": bound.seconds,
                    "certificate": bound.certificate is not None,
                }
                for bound in value.bounds
            ],
            "members": [
                {
                    "name": member.name,
                    "entry": member.entry,
                    "seconds": member.seconds,
                    "reason": member.termination.reason.value,
                    "detail": member.termination.detail,
                    "peak_bytes": member.peak_bytes,
                }
                for member in value.members
            ],
            "trajectory": [
                {
                    "seconds": moment.seconds,
                    "dual_bound": moment.dual_bound,
                    "incumbent": moment.incumbent,
                    "source": moment.source,
                }
                for moment in value.trajectory
            ],
            "memory": [{"stage": b, **row.as_dict()} for b, row in enumerate(value.stage_memory)],
        }


class ComparisonView(_Printed):
    """A comparison: one table for each number of stages."""

    def show(self, value: Comparison, console: Console) -> None:
        """Print a value."""
        print_comparison(value, console)

    def draw(self, value: Comparison) -> Any:
        """Return the figure."""
        if not value.runs:
            raise UserError("there is nothing to draw: no entry ran")
        from framework.report.plots.comparison import comparison_figure

        return comparison_figure(value)

    def tables(self, value: Comparison) -> Mapping[str, Rows]:
        """Return the table ``runs``."""
        return {"runs": [_compared(run) for run in value.runs]}


def _compared(run: ComparedRun) -> dict[str, Any]:
    return {
        "entry": run.entry,
        "stages": run.result.stages,
        "dual_bound": run.result.dual_bound,
        "incumbent": run.result.incumbent,
        "ratio": run.run_ratio,
        "above_best": run.above_best,
        "seconds": run.result.seconds,
        "status": run.result.status.value,
        "bound_by": bound_by(run),
        "found_by": found_by(run),
    }


class RecommendationView(_Printed):
    """A recommendation: the table by number of stages, the knee, the advice."""

    def show(self, value: Recommendation, console: Console) -> None:
        """Print a value."""
        print_recommendation(value, console)

    def draw(self, value: Recommendation) -> Any:
        """Return the figure."""
        from framework.report.plots.recommendation import recommendation_figure

        return recommendation_figure(value)

    def tables(self, value: Recommendation) -> Mapping[str, Rows]:
        """Return the table ``choices``."""
        return {"choices": value.as_dict()["choices"]}


class JudgementView(_Printed):
    """A judgement: splits beside the proven bound."""

    def show(self, value: Judgement, console: Console) -> None:
        """Print a value."""
        print_judgement(value, console)

    def tables(self, value: Judgement) -> Mapping[str, Rows]:
        """Return the table ``splits``."""
        columns = ("name", "bottleneck", "from_best", "from_found", "breaks")
        return {"splits": [{column: split.as_dict()[column] for column in columns} for split in value.splits]}


class ExplanationView(_Printed):
    """An explanation: the parts of the slowest stage, the bound, what-if rows."""

    def show(self, value: Explanation, console: Console) -> None:
        """Print a value."""
        print_explanation(value, console)

    def tables(self, value: Explanation) -> Mapping[str, Rows]:
        """Return the tables ``what_if``, ``work``, ``in``, ``out`` and ``parameters``."""
        document = value.as_dict()
        return {name: document[name] for name in ("what_if", "work", "in", "out", "parameters")}


class VerificationView(_Printed):
    """A verdict: one row a claim."""

    def show(self, value: Verification, console: Console) -> None:
        """Print a value."""
        print_verification(value, console)

    def tables(self, value: Verification) -> Mapping[str, Rows]:
        """Return the table ``checks``."""
        return {"checks": [check.as_dict() for check in value.checks]}


class StudyReportView(_Printed):
    """A report of a study: contradictions first, then the summaries."""

    def show(self, value: StudyReport, console: Console) -> None:
        """Print a value."""
        from framework.report.study.tables import report_view

        console.print(report_view(value, console))

    def draw(self, value: StudyReport) -> Any:
        """Return the figure that the page of the study begins with."""
        from framework.report.study.figures import draw, figure_names

        return draw(value, next(iter(figure_names(value))))

    def tables(self, value: StudyReport) -> Mapping[str, Rows]:
        """Return summaries ``overall``, ``stages``, ``families`` and ``sizes``."""
        from framework.report.study.summaries import summary_rows

        return {name: summary_rows(getattr(value, name)) for name in ("overall", "stages", "families", "sizes")}


def install() -> None:
    """Have all of them shown."""
    register_view(Result, ResultView())
    register_view(Comparison, ComparisonView())
    register_view(Recommendation, RecommendationView())
    register_view(Judgement, JudgementView())
    register_view(Explanation, ExplanationView())
    register_view(Verification, VerificationView())
    register_view(StudyReport, StudyReportView())

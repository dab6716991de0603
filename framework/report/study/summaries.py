"""A study's results as JSON-compatible data."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from framework.study.analysis.report import StudyReport
from framework.study.analysis.summary import Group


def report_document(report: StudyReport) -> dict[str, Any]:
    """Return contradictions, summaries and faults; an infinite closing factor becomes the text ``inf``."""
    data = report.data
    return {
        "format": "pipebound-study-report",
        "version": 1,
        "name": data.name,
        "description": data.description,
        "planned": sum(data.plan_counts.values()),
        "done": int(data.planned.sum()),
        "left_out": data.left_out,
        "code": data.codes,
        "overhead": report.overhead,
        "contradictions": [dataclasses.asdict(case) for case in report.contradictions],
        "stages": _groups(report.stages),
        "all": _groups(report.overall),
        "sizes": _groups(report.sizes),
        "families": _groups(report.families),
        "faults": [dataclasses.asdict(fault) for fault in report.faults],
        "fault_count": report.fault_count,
    }


def summary_rows(groups: list[Group]) -> list[dict[str, Any]]:
    """Return the summary of each entry in each group as one row."""
    return [{"group": group.title, **dataclasses.asdict(row)} for group in groups for row in group.summaries]


def _groups(groups: list[Group]) -> list[dict[str, Any]]:
    return [
        {
            "title": group.title,
            "entries": [
                {
                    name: "inf" if isinstance(value, float) and math.isinf(value) else value
                    for name, value in dataclasses.asdict(row).items()
                }
                for row in group.summaries
            ],
        }
        for group in groups
    ]

"""The pages of the documentation that are made from the records: blocks of docs/records.md, and a page a task area."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from framework.records.pair import STAGES
from framework.report.escape import markdown
from framework.report.numbers import UNKNOWN, ratio
from framework.report.records.breakdown import by_area, by_size, by_stages, by_width, standing_table
from framework.report.records.rows import RecordRow, Standing, grouped
from framework.report.records.table import standing_words, time_text
from framework.wording import counted


def blocks(rows: Sequence[RecordRow]) -> Mapping[str, str]:
    """Return the blocks of docs/records.md by their names."""
    areas = [(f"[{area}]({area_page(area)})", group) for area, group in by_area(rows)]
    return {
        "summary": standing_words(Standing.of(rows)),
        "stages": standing_table("k", by_stages(rows)),
        "areas": standing_table("task area", areas),
        "widths": standing_table("width", by_width(rows)),
        "sizes": standing_table("nodes", by_size(rows)),
        "evidence": _evidence_table(rows),
    }


def area_page(area: str) -> str:
    """Return the path of the page of a task area, seen from docs."""
    return f"records/{area.replace(' ', '-')}.md"


def area_pages(rows: Sequence[RecordRow]) -> Mapping[str, str]:
    """Return the pages of the task areas by their paths, seen from docs."""
    return {area_page(area): _area(area, group) for area, group in by_area(rows)}


def _area(area: str, rows: Sequence[RecordRow]) -> str:
    families = [(markdown(family), group) for family, group in sorted(grouped(rows, "family").items())]
    graphs = grouped(rows, "graph")
    lines = [f"| graph | nodes | {' | '.join(f'k = {k}' for k in STAGES)} |", f"|{' --- |' * (2 + len(STAGES))}"]
    for name, group in graphs.items():
        cells = {row.stages: _cell(row) for row in group}
        values = " | ".join(cells.get(k, "") for k in STAGES)
        lines.append(f"| {markdown(name)} | {group[0].nodes:,} | {values} |")
    return f"""# Records: {area}

Made by `python scripts/records.py pages` from the [records](../records.md). Terms are defined in the
[glossary](../glossary.md).

{standing_words(Standing.of(rows))}

## Best known partitions

The bottleneck of the best known partition on the reference device. It is proven optimal, unless bound / best stands
beside it. {UNKNOWN}: no record.

{chr(10).join(lines)}

## Families

{standing_table("family", families)}
"""


def _cell(row: RecordRow) -> str:
    if row.bottleneck is None or row.state == "optimal":
        return time_text(row.bottleneck, 4)
    return f"{time_text(row.bottleneck, 4)} ({ratio(row.ratio)})"


def _evidence_table(rows: Sequence[RecordRow]) -> str:
    counts = Counter((row.rests_on, row.state) for row in rows if row.rests_on)
    words = sorted({word for word, _ in counts}, key=lambda word: -sum(counts[word, state] for state in _STATES))
    lines = ["| the best dual bound rests on | proven optimal | open |", "| --- | --- | --- |"]
    lines += [f"| {word} | {' | '.join(f'{counts[word, state]:,}' for state in _STATES)} |" for word in words]
    sources = Counter(row.bound_source for row in rows if row.bound_source)
    named = ", ".join(f"{markdown(source)} {count:,}" for source, count in sources.most_common(8))
    return "\n".join(lines) + f"\n\n{counted(len(sources), 'entry')} found the best bounds: {named}."


_STATES = ("optimal", "open")

"""The table of `pipebound testbed records`, and what `pipebound testbed submit` says."""

from __future__ import annotations

from collections.abc import Sequence

from framework.bounds import PROVEN_WITHIN
from framework.records.considering import Considered
from framework.records.improving import Before, Change
from framework.records.pair import GraphRecords
from framework.records.submission import Submission
from framework.report.console import Console, open_console
from framework.report.layout import FactTable
from framework.report.numbers import UNKNOWN, percent, quantity, ratio, scaled_unit
from framework.report.records.rows import RecordRow, Standing, grouped
from framework.wording import counted


def print_records(rows: Sequence[RecordRow], console: Console | None = None) -> None:
    """Print one row a pair, and how far they are by number of stages."""
    console = console or open_console()
    table = FactTable()
    table.texts("graph")
    table.numbers("k", "bound", "best", "bound / best")
    table.texts("rests on", "who", "when")
    for row in rows:
        table.row(
            row.graph,
            str(row.stages),
            time_text(row.bound),
            time_text(row.bottleneck),
            ratio(row.ratio),
            row.rests_on or UNKNOWN,
            _both(row.bound_source, row.partition_source, row.credit),
            _both(row.bound_date, row.partition_date),
            style="" if row.state == "optimal" else "yellow",
        )
    if rows:
        console.print(table)
    print_standing(rows, console)


def print_standing(rows: Sequence[RecordRow], console: Console | None = None) -> None:
    """Print how far the pairs of each number of stages are, and all of them."""
    console = console or open_console()
    groups = grouped(sorted(rows, key=lambda row: row.stages), "stages")
    if len(groups) > 1:
        table = FactTable()
        table.texts("k")
        table.numbers("pairs", "proven optimal", f"within {PROVEN_WITHIN}", "open", "without a record", "mean ratio")
        for k, group in [*groups.items(), ("all", rows)]:
            standing = Standing.of(group)
            counts = (standing.pairs, standing.optimal, standing.nearly, standing.open, standing.missing)
            table.row(str(k), *(f"{count:,}" for count in counts), ratio(standing.mean_ratio))
        console.print(table)
    console.print(standing_words(Standing.of(rows)))


def standing_words(standing: Standing) -> str:
    """Say how far pairs are, in a sentence."""
    recorded = standing.pairs - standing.missing
    words = f"{counted(standing.pairs, 'pair')}: {standing.optimal:,} proven optimal, {standing.open:,} open"
    words += f", {standing.missing:,} without a record" if standing.missing else ""
    if standing.mean_ratio is None:
        return f"{words}."
    share = percent(standing.nearly / recorded)
    return f"{words}; {share} within {PROVEN_WITHIN}, geometric mean of bound / best {ratio(standing.mean_ratio)}."


def change_words(change: Change, records: GraphRecords) -> list[str]:
    """Say what an offer improved, a line each; empty if nothing."""
    lines = []
    if change.partition:
        lines.append(f"better partition: {_step(change.partition, records)}")
    if change.bound:
        top = change.pair.bounds[0]
        lines.append(f"better dual bound ({top.words}): {_step(change.bound, records)}")
    if change.evidence:
        lines.append(f"the dual bound now rests on a {change.evidence}")
    if lines and not change.pair.is_open:
        lines.append("the partition is proven optimal")
    return lines


def _step(step: Before, records: GraphRecords) -> str:
    after = f"{time_text(records.seconds(step.after))} ({step.after:,} ticks)"
    if step.before is None:
        return f"{after}, the first one"
    change = percent(abs(step.after - step.before) / max(1, step.before))
    return f"{after} instead of {time_text(records.seconds(step.before))} ({step.before:,} ticks), {change}"


def time_text(value: float | None, digits: int = 6) -> str:
    """Write seconds in a unit that reads well."""
    if value is None:
        return UNKNOWN
    unit, factor = scaled_unit("s", value)
    return f"{quantity(value * factor, digits)} {unit}"


def _both(bound: str, partition: str, credit: str = "") -> str:
    """Return what the bound and the partition have, once where it is the same."""
    words = " / ".join(dict.fromkeys(value or UNKNOWN for value in (bound, partition)))
    return f"{words} ({credit})" if credit else words


def print_submission(found: Submission, console: Console | None = None) -> None:
    """Say of each file whether it is true and what it improves, and where that was written."""
    console = console or open_console()
    for row in found.rows:
        if row.considered is None:
            console.print(f"{row.path}: REFUSED: {row.refused}", style="bold red")
            continue
        offer, change = row.considered.offer, row.considered.change
        console.print(f"{row.path}: {offer.graph}, k = {offer.stages}: verified")
        for line in change_words(change, row.considered.records) or [_nothing_better(row.considered)]:
            console.print(f"  {line}", style="green" if change.is_better else "")
        if offer.refused:
            hint = "`pipebound solve ... --proof FILE` writes one; give it along"
            console.print(f"  not counted: {offer.refused} ({hint})", style="yellow")
    for path in found.written:
        console.print(f"written: {path}")
    if found.written:
        apply = f"`git apply {found.written[0]}` in a checkout, or send the file" if found.is_patch else "commit them"
        console.print(f"To have it among the records: {apply}; docs/records.md says where.")


def _nothing_better(found: Considered) -> str:
    """Say why a result changes nothing."""
    records, pair = found.records, found.change.pair
    known = [] if pair.best is None else [f"a partition of {time_text(records.seconds(pair.best.ticks))}"]
    known += [f"a dual bound of {time_text(records.seconds(bound.ticks))} ({bound.words})" for bound in pair.bounds[:1]]
    return f"nothing better than the record: {' and '.join(known) or 'it holds neither'}"

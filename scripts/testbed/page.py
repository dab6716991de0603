"""Write the statistics and pictures of docs/testbed.md from the catalogue.

    python scripts/testbed/page.py [--captured FOLDER]

What stands between ``begin`` and ``end`` marks is replaced; the prose is left alone. FOLDER (default build/testbed)
holds the logs of the capture, which say why parameters take no part; without it that table is kept as it is.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib.figure import Figure

from framework.testbed import bundled
from framework.testbed.catalogue import CatalogueRow, bundled_graphs, subset_names

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "testbed.md"
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#222255", "#997700", "#44bb99")
TOLERANCE = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description="Write the statistics and pictures of docs/testbed.md.")
    parser.add_argument("--captured", type=Path, default=ROOT / "build" / "testbed")
    options = parser.parse_args()
    rows = bundled_graphs()
    page = PAGE.read_text(encoding="utf-8")
    blocks: dict[str, Callable[[], str]] = {
        "summary": lambda: summary(rows),
        "subsets": lambda: subsets(rows),
        "areas": lambda: areas(rows),
        "packages": lambda: packages(rows),
        "guesses": lambda: guesses(rows),
    }
    if options.captured.is_dir():
        blocks["parameters"] = lambda: parameters(rows, options.captured)
    for name, block in blocks.items():
        begin, end = f"<!-- begin: {name} -->\n", f"<!-- end: {name} -->"
        before, found, rest = page.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(f"{PAGE.name} has no block {name}")
        page = f"{before}{begin}{block()}\n{end}{after}"
    PAGE.write_text(page, encoding="utf-8")
    matplotlib.rcParams |= {"svg.hashsalt": "testbed", "font.size": 9}
    draw_sizes(rows)
    draw_widths(rows)
    draw_costs(rows)


def table(heading: Sequence[str], lines: Iterable[Sequence[Any]]) -> str:
    cells = [heading, ["---"] * len(heading), *lines]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in cells)


def summary(rows: Sequence[CatalogueRow]) -> str:
    nodes = sorted(row.nodes for row in rows)
    size = sum(path.stat().st_size for path in bundled.DATA.iterdir())
    return (
        f"**{len(rows)} graphs** of {len({row.family for row in rows})} families in {len({row.task for row in rows})} "
        f"task areas, no two of the same structure; {nodes[0]} to {nodes[-1]:,} nodes, median {median(nodes):.0f}, "
        f"{sum(n > 1000 for n in nodes)} above 1,000 and {sum(n > 10_000 for n in nodes)} above 10,000; "
        f"{size / 1e6:.1f} MB in the package."
    )


def subsets(rows: Sequence[CatalogueRow]) -> str:
    by_name = {row.name: row for row in rows}
    lines = []
    for subset in ("smoke", "core", "full"):
        members = [by_name[name] for name in subset_names(subset)]
        nodes = sorted(row.nodes for row in members)
        lines.append(
            (
                f"`{subset}`",
                len(members),
                len({row.family for row in members}),
                len({row.task for row in members}),
                f"{nodes[0]} / {median(nodes):.0f} / {nodes[-1]:,}",
            )
        )
    lines.append(("`regal-like`", len(subset_names("regal-like")), 4, "random", "50 / 125 / 200"))
    smoke = ", ".join(subset_names("smoke"))
    heading = ("subset", "graphs", "families", "task areas", "nodes: least / median / most")
    return f"{table(heading, lines)}\n\n`smoke`: {smoke}."


def areas(rows: Sequence[CatalogueRow]) -> str:
    lines = []
    for task, count in Counter(row.task for row in rows).most_common():
        members = [row for row in rows if row.task == task]
        nodes, widths = [row.nodes for row in members], [row.width for row in members]
        lines.append(
            (
                task,
                count,
                len({row.family for row in members}),
                f"{min(nodes)} / {median(nodes):.0f} / {max(nodes):,}",
                f"{min(widths)} / {median(widths):.0f} / {max(widths)}",
                f"{median(row.flops for row in members):.3g}",
            )
        )
    heading = ("task area", "graphs", "families", "nodes: least / median / most", "width", "operations: median")
    return table(heading, lines)


def packages(rows: Sequence[CatalogueRow]) -> str:
    notice = (bundled.DATA / "NOTICE.txt").read_text(encoding="utf-8")
    lines_of_notice = re.finditer(r"^(\S+) {2,}(\S+) +(https\S+)$", notice, re.MULTILINE)
    licences = {found[1]: found.group(2, 3) for found in lines_of_notice}
    lines = []
    for source, count in sorted(Counter(row.source.split(",")[0] for row in rows).items()):
        package, version = source.split()
        licence, address = found if (found := licences.get(package)) else ("", "")
        lines.append((f"[{package}]({address})", version, licence, count))
    return table(("package", "version", "licence", "graphs"), lines)


def guesses(rows: Sequence[CatalogueRow]) -> str:
    guessed = [row for row in rows if row.is_guessed]
    named = ", ".join(row.name for row in guessed)
    return f"{len(guessed)} graphs hold guesses: {named}."


def parameters(rows: Sequence[CatalogueRow], captured: Path) -> str:
    logs = [json.loads(line) for path in captured.glob("*.jsonl") for line in path.read_text().splitlines()]
    facts = {log["name"]: log for log in logs if "failure" not in log}
    lines = []
    for row in rows:
        if row.module_bytes and abs(row.used_bytes - row.module_bytes) > TOLERANCE * row.module_bytes:
            lines.append((row.name, f"{row.used_bytes / row.module_bytes - 1:+.1%}", reason(row, facts[row.name])))
    compared = sum(row.module_bytes is not None for row in rows)
    return f"{table(('graph', 'difference', 'reason'), lines)}\n\n{len(lines)} of {compared} graphs."


def reason(row: CatalogueRow, facts: dict[str, Any]) -> str:
    """Say what becomes of the bytes that the module has and the graph does not use, or the other way round."""
    parts = []
    if facts["unused_bytes"]:
        share = facts["unused_bytes"] / row.module_bytes
        parts.append(f"{share:.1%} take no part in the output: {', '.join(facts['unused'])}")
    rest = row.module_bytes - row.used_bytes - facts["unused_bytes"]
    if rest > TOLERANCE / 5 * row.module_bytes:
        parts.append(f"of {rest / row.module_bytes:.1%}, only a part is read (tables, slices)")
    if rest < -TOLERANCE / 5 * row.module_bytes:
        parts.append(f"{-rest / row.module_bytes:.1%} are used both whole and in parts, or as results of folding")
    return "; ".join(parts)


def draw_sizes(rows: Sequence[CatalogueRow]) -> None:
    figure, axes = canvas()
    tasks = shown_tasks(rows)
    edges = [10 * 2 ** (i / 2) for i in range(25)]
    groups = [[row.nodes for row in rows if area(row, tasks) == task] for task in tasks]
    axes.hist(groups, bins=edges, stacked=True, color=COLOURS[: len(tasks)], label=tasks)
    axes.set_xscale("log")
    axes.set_xlabel("nodes")
    axes.set_ylabel("graphs")
    axes.legend(frameon=False)
    save(figure, "testbed_sizes.svg")


def draw_widths(rows: Sequence[CatalogueRow]) -> None:
    scatter(
        rows,
        lambda row: row.depth,
        lambda row: row.width,
        "depth: nodes on the longest path",
        "width: largest antichain",
        "testbed_widths.svg",
    )


def draw_costs(rows: Sequence[CatalogueRow]) -> None:
    scatter(rows, lambda row: row.parameters, lambda row: row.flops, "parameters", "operations", "testbed_costs.svg")


def scatter(
    rows: Sequence[CatalogueRow],
    x: Callable[[CatalogueRow], int],
    y: Callable[[CatalogueRow], int],
    x_label: str,
    y_label: str,
    name: str,
) -> None:
    figure, axes = canvas()
    tasks = shown_tasks(rows)
    for task, colour in zip(tasks, COLOURS, strict=False):
        members = [row for row in rows if area(row, tasks) == task]
        axes.scatter(
            [x(row) for row in members], [y(row) for row in members], s=9, color=colour, label=task, linewidths=0
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.legend(frameon=False, loc="best")
    save(figure, name)


def canvas() -> tuple[Figure, Any]:
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def shown_tasks(rows: Sequence[CatalogueRow]) -> list[str]:
    """Return the nine largest task areas; the rest is drawn as one."""
    return [task for task, _ in Counter(row.task for row in rows).most_common(9)] + ["other"]


def area(row: CatalogueRow, tasks: Sequence[str]) -> str:
    return row.task if row.task in tasks else "other"


def save(figure: Figure, name: str) -> None:
    figure.savefig(PAGE.parent / name, metadata={"Date": None})


if __name__ == "__main__":
    main()

"""The table of results in README.md: one row for each benchmark, written from the figures that are kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from figures import DATA, ROOT, Figures, read_measurement

Tables = Mapping[str, Figures]
PAPER_PAGE = ROOT / "docs" / "paper-regal-like.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A row of the table.

    Attributes
    ----------
    benchmark
        Whose kept figures it shows.
    about
        What is measured.
    words
        The figures in a phrase, from the tables of the benchmark by name.
    """

    benchmark: str
    about: str
    words: Callable[[Tables], str]


def results() -> str:
    """Return the table in Markdown."""
    rows = []
    for claim in CLAIMS:
        kept = read_measurement(DATA / f"{claim.benchmark}.json")
        words = claim.words({table.name: table for table in kept.tables})
        rows.append((claim.about, words, f"{kept.measured}; {kept.machine}", f"`scripts/bench {claim.benchmark}`"))
    command = "`scripts/reproduce_paper --subset regal-like`"
    rows.append((PAPER_ABOUT, _paper(), "[the page](docs/paper-regal-like.md) has the conditions", command))
    columns = ("what", "measured", "when and where", "command")
    return Figures(name="results", columns=columns, rows=tuple(rows)).markdown()


def _proofs(tables: Tables) -> str:
    row = _by_column(tables["summary"])[0]
    words = f"{row['proven optimal']} of {row['pairs']} pairs proven optimal"
    if "published optima" in row:
        words += f"; published optima: {row['published optima']}"
    return f"{words}; {row['median']} median, {row['largest']} at most"


def _wide(tables: Tables) -> str:
    means = [cell.strip("*").rstrip(")").split(" (") for cell in tables["ratios"].rows[-1][1:]]
    bounds, simple = zip(*means, strict=True)
    return f"dual bound / incumbent {_list(bounds)}; simple bound / incumbent {_list(simple)} (geometric means)"


def _core(tables: Tables) -> str:
    bounds, simple, closed, proven = (row[1:] for row in tables["ratios"].rows)
    return (
        f"dual bound / incumbent {_list(bounds)}; simple bound / incumbent {_list(simple)} (geometric means); gap "
        f"smaller by a factor of {_list(cell.removesuffix('-fold') for cell in closed)}; proven optimal {_list(proven)}"
    )


def _slicing(tables: Tables) -> str:
    row = _by_column(tables["passes"])[0]
    refute = f"refuting a threshold {row['refute, ms']} ms, {row['ratio']} times less than a pass without pruning"
    return f"{refute}; the optimum of the order {row['solve, ms']} ms"


def _anchored(tables: Tables) -> str:
    bound, codes = _by_column(tables["bound"]), _by_column(tables["codes"])
    return (
        f"at most {max(float(row['time'].split()[0]) for row in bound):g} s and "
        f"{max(int(row['peak memory'].split()[0]) for row in bound)} MiB; its maximum flows are "
        f"{_list(row['ratio'] for row in codes)} times as fast as OR-Tools' on the same cuts"
    )


def _start(tables: Tables) -> str:
    return "; ".join(f"{row['what']} {row['median']}" for row in _by_column(tables["seconds"]))


def _budget(tables: Tables) -> str:
    rows = _by_column(tables["budget"])
    walls = sorted({row["wall clock"] for row in rows}, key=lambda wall: float(wall.split()[0]))
    gaps = [f"{row['gap']} ({row['graph']}, k = {row['k']})" for row in rows]
    return f"ends after {' to '.join(dict.fromkeys((walls[0], walls[-1])))}; gaps {', '.join(gaps)}"


def _paper() -> str:
    """Return the figures of the page that `scripts/reproduce_paper` has written."""
    lines = PAPER_PAGE.read_text(encoding="utf-8").splitlines()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| regal-like |")
    ]
    _, _, simple, paper, _, default, *_ = zip(*rows, strict=True)
    return (
        f"dual bound / best partition: `default` {_list(default)}; the paper's methods {_list(paper)}; simple bound "
        f"{_list(simple)} (geometric means)"
    )


def _by_column(table: Figures) -> Sequence[Mapping[str, str]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def _list(cells: Iterable[str]) -> str:
    return ", ".join(cell.removeprefix("0") if cell.startswith("0.") else cell for cell in cells)


PAPER_ABOUT = "64 wide random graphs of 50 to 200 nodes, 10 s and one core per pair, k = 2, 4, 8, 16, 32, 64"
CLAIMS = (
    Claim(benchmark="dnn", about="inference inputs of dnn-partitioning, 8 graphs, k = 2, 4, 8, 16, 32", words=_proofs),
    Claim(benchmark="pipedream", about="PipeDream profiles at 1e9 B/s, 8 graphs, the same k", words=_proofs),
    Claim(
        benchmark="testbed", about="the nine graphs of the onnx package, reference device, the same k", words=_proofs
    ),
    Claim(benchmark="core", about="60 real graphs, 10 s and one core per pair, k = 2, 4, 8, 16, 32, 64", words=_core),
    Claim(benchmark="regal-15", about="16 wide random graphs of 150 nodes, 15 s per pair, the same k", words=_wide),
    Claim(benchmark="regal", about="the same graphs, 60 s per pair", words=_wide),
    Claim(benchmark="slicing", about="`slice-graph`: one order of 20,000 chain-like nodes, k = 16", words=_slicing),
    Claim(benchmark="anchored", about="`anchored-cut` on 12,000 nodes", words=_anchored),
    Claim(benchmark="start", about="start and input", words=_start),
    Claim(benchmark="start", about="a budget of 10 s on 12,000 nodes", words=_budget),
)
"""The rows in their order; `scripts/reproduce_paper` adds the last one."""

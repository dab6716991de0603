"""What proofs cost, and what damage does to them.

python scripts/benchmarks/methods/proofs.py damage --count 10000     damaged proofs by rule: none may prove too much
        [--rule NAME | --each] [--seconds 600]        with one rule of `ALONE`, or with none and then with each, in one
                                                      table; so many and so much processor time at most, of each
python scripts/benchmarks/methods/proofs.py pairs [core | NAME[,NAME...]] [-k 4 -k 8] [--sample 40 --seed 0]
                                                  [--with ENTRY] [--budget 10s] [--folder DIR] [--proven]

The second solves graphs of the testbed, writes the log of each result, and checks it in a process of its own, as a
reader would (with --proven only that of a proven optimum). Results are kept in the folder, as NAME@K.json: a second
call writes and checks anew what the first one solved. Times of solving are those of a clock, the others of a core.
"""

from __future__ import annotations

import argparse
import math
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.device import load_device
from framework.model.graph import PhysicalCosts
from framework.portfolio.logs.write import proof_of
from framework.portfolio.reading import read_result
from framework.portfolio.settings import Settings
from framework.portfolio.solve import solve
from framework.proof.check import proven_by
from framework.proof.log import BOUNDS, REDUCTIONS, write_log
from framework.proof.problem import RefusedError
from framework.registry import load_plugins
from framework.report.console import open_console
from framework.report.layout import FactTable
from framework.testbed.catalogue import SUBSETS, subset_names
from framework.testing.damage import damaged
from framework.testing.proofs import ProvenProblem, proven_problems
from framework.units import parse_seconds

NOT_CHECKED = "not checked"
A_PROOF = 40
"""Damaged copies of one proof."""
ALONE = (
    "core-program",
    "fixing",
    "nested-cuts",
    "spreading-metric",
    "lp-dual",
    "threshold-contract",
    "filter",
    "merge",
)
"""Rules that can be damaged alone."""
STAGES = (2, 4, 8, 16, 32, 64)
LONGEST = 600
"""Seconds after which a check is given up."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    damage = commands.add_parser("damage")
    damage.add_argument("--count", type=int, default=10_000)
    damage.add_argument("--seed", type=int, default=0)
    only = damage.add_mutually_exclusive_group()
    only.add_argument("--rule", choices=ALONE, default="")
    only.add_argument("--each", action="store_true")
    damage.add_argument("--seconds", type=float, default=math.inf)
    pairs = commands.add_parser("pairs")
    pairs.add_argument("names", nargs="?", default="core")
    pairs.add_argument("-k", "--stages", type=int, action="append")
    pairs.add_argument("--sample", type=int, help="so many of the pairs, drawn at random")
    pairs.add_argument("--seed", type=int, default=0)
    pairs.add_argument("--with", dest="entry", default="default")
    pairs.add_argument("--budget", default="10s")
    pairs.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pipebound-proofs")
    pairs.add_argument("--proven", action="store_true", help="check the logs of proven optima only")
    given = parser.parse_args()
    if given.command == "damage":
        print_damage(given.count, given.seed, ("", *ALONE) if given.each else (given.rule,), given.seconds)
    else:
        load_plugins()
        given.folder.mkdir(parents=True, exist_ok=True)
        names = subset_names(given.names) if given.names in SUBSETS else given.names.split(",")
        drawn = [(name, k) for name in names for k in given.stages or STAGES]
        if given.sample is not None:
            drawn = random.Random(given.seed).sample(drawn, min(given.sample, len(drawn)))
        print_pairs(drawn, given.entry, parse_seconds(given.budget), given.folder, proven_only=given.proven)


def print_damage(count: int, seed: int, runs: Sequence[str], seconds: float) -> None:
    """Damage proofs, of any rules or of one alone; count by rule what becomes of them."""
    rows: dict[str, list[int]] = defaultdict(lambda: [0] * 5)
    done = sum(damage_some(count, seed, only, seconds, rows) for only in runs)
    table = FactTable()
    table.texts("rule in the proof")
    table.numbers("proofs", "refused", "holds, at most as before", "holds, more", "proves more than the optimum")
    for rule in (*REDUCTIONS, *BOUNDS):
        table.row(rule, *map(str, rows[rule]))
    console = open_console()
    console.print(table)
    console.print(f"{done} damaged proofs")
    if any(row[4] for row in rows.values()):
        raise SystemExit(1)


def damage_some(count: int, seed: int, only: str, seconds: float, rows: Mapping[str, list[int]]) -> int:
    """Damage proofs until there are so many, or it has taken the process so long; count by rule in `rows`."""
    rng, done, started = random.Random(seed), 0, time.process_time()
    for first in range(1_000_000 + 100 * seed, 2_000_000, 10):
        if done >= count or time.process_time() - started > seconds:
            break
        for case in proven_problems(range(first, first + 10), rule=only):
            rules, before = {step.rule for step in case.steps}, proven_by(case.problem, case.steps)
            for rule in rules:
                rows[rule][0] += 1
            for _ in range(A_PROOF):
                outcome = what_becomes(case, before, rng)
                done += 1
                for rule in rules:
                    rows[rule][outcome] += 1
    return done


def what_becomes(case: ProvenProblem, before: int, rng: random.Random) -> int:
    """Damage a proof: 1 if it is refused, 2 or 3 if it still proves at most `before` or more, 4 if that is false."""
    steps = damaged(case.steps, rng)
    try:
        bound = proven_by(case.problem, steps)
    except RefusedError:
        return 1
    if bound > case.optimum:
        print(f"false: {case.problem} {steps} proves {bound}, the optimum is {case.optimum}")
        return 4
    return 2 if bound <= before else 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A graph in so many stages: who proved what, and what became of the log; sizes in bytes, times in seconds.

    Attributes
    ----------
    closed_by
        The entry whose bound met the partition first; empty where none did.
    missing
        Why no log proves all of that; empty where one does.
    """

    graph: str
    stages: int
    closed_by: str
    missing: str
    rules: str
    solving: float
    writing: float
    checking: float
    size: int

    @property
    def accepted(self) -> bool:
        """Whether the optimum has a log that the checker accepts."""
        return bool(self.closed_by) and not self.missing


def solved(name: str, k: int, entry: str, budget: float, folder: Path, *, proven_only: bool) -> Pair:
    """Solve a pair, or take what is there from an earlier call; write its log, and check that in another process."""
    graph, kept, log_file = read_graph(f"testbed:{name}"), folder / f"{name}@{k}.json", folder / f"{name}@{k}.proof.xz"
    if not kept.exists():
        device = load_device("reference") if isinstance(graph.costs, PhysicalCosts) else None
        solve(graph, k, settings=Settings(entry=entry, budget=budget, workers=1, device=device)).write(kept)
    result = read_result(kept)
    closing = [bound for bound in result.bounds if bound.ticks == result.incumbent_ticks]
    closed_by = min(closing, key=lambda bound: bound.seconds).source if closing else ""
    started = time.process_time()
    missing, rules, checking, size = "", "", 0.0, 0
    try:
        log = proof_of(result, graph)
        write_log(log, log_file)
    except UserError as error:
        missing = str(error)
    written = time.process_time()
    if not missing:
        rules, size = ", ".join(step.rule for step in log.steps), log_file.stat().st_size
        if log.bound < (result.dual_ticks or 0):
            missing = "no rule for its best bound"
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        verdict = NOT_CHECKED if proven_only and not closed_by else checked(log_file, f"testbed:{name}")
        missing, after = missing or verdict, resource.getrusage(resource.RUSAGE_CHILDREN)
        checking = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Pair(
        graph=name,
        stages=k,
        closed_by=closed_by,
        missing=missing,
        rules=rules,
        solving=result.seconds,
        writing=written - started,
        checking=checking,
        size=size,
    )


def checked(log: Path, graph: str) -> str:
    """Check a log as a reader would; return why it is refused, or nothing."""
    command = [sys.executable, "-m", "framework.proof", str(log), graph]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        return f"checking takes more than {LONGEST} s"
    return "" if done.returncode == 0 else (done.stdout + done.stderr).splitlines()[-1]


def print_pairs(pairs: list[tuple[str, int]], entry: str, budget: float, folder: Path, *, proven_only: bool) -> None:
    """Solve, write and check pairs; print a row for each, what closes them, and what that takes."""
    console, found = open_console(), list[Pair]()
    for name, k in pairs:
        pair = solved(name, k, entry, budget, folder, proven_only=proven_only)
        found.append(pair)
        words = (pair.closed_by or "-", pair.rules or "-", pair.missing or "accepted")
        times = f"{pair.solving:.2f} {pair.writing:.2f} {pair.checking:.2f} s, {pair.size} bytes"
        console.print(f"{name} {k}: {'; '.join(words)}; {times}", markup=False, soft_wrap=True)
    proven = [pair for pair in found if pair.closed_by]
    table = FactTable()
    table.texts("closed by", "not accepted because")
    table.numbers("proven", "accepted")
    for source, count in Counter(pair.closed_by for pair in proven).most_common():
        of_source = [pair for pair in proven if pair.closed_by == source]
        reasons = Counter(pair.missing for pair in of_source if pair.missing)
        why = "; ".join(f"{number} {reason}" for reason, number in reasons.most_common())
        table.row(source, why, str(count), str(sum(pair.accepted for pair in of_source)))
    accepted = [pair for pair in proven if pair.accepted]
    table.row("all", f"{len(found)} pairs", str(len(proven)), str(len(accepted)))
    console.print(table)
    if not accepted:
        return
    table = FactTable()
    table.texts("of accepted logs")
    table.numbers("median", "largest")
    for what, values, form in (
        ("checking, s", [pair.checking for pair in accepted], "{:.2f}"),
        ("checking over solving", [pair.checking / pair.solving for pair in accepted], "{:.2f}"),
        ("writing over solving", [pair.writing / pair.solving for pair in accepted], "{:.3f}"),
        ("bytes, packed", [float(pair.size) for pair in accepted], "{:.0f}"),
    ):
        table.row(what, form.format(statistics.median(values)), form.format(max(values)))
    console.print(table)
    writing, solving = (sum(times) for times in zip(*((p.writing, p.solving) for p in accepted), strict=True))
    console.print(f"all together: {writing:.1f} s of writing, {solving:.1f} s of solving")


if __name__ == "__main__":
    main()

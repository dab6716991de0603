"""Hold every entry against brute force on thousands of random small problems.

    python scripts/exhaust.py [--problems 5000] [--first 0] [--entry NAME ...] [--workers 2]
                     [--limited | --shared | --memory | --worksets | --unequal | --unequal-worksets | --attention |
                      --in-flight | --wide | --physical | --devices]

A problem has up to nine nodes and four stages, with and without overflow, with integer and fractional input; see
`framework.testing.instances.random_problem`. With --limited it has up to seven nodes and three stages, pins and memory
limits. With --shared some parameters have several users, and there may be pins and limits besides. With --memory there
is a limit on parameters, some of them shared, and working sets together, and half have pins. With --worksets working
sets count towards the capacity, and there may be shared parameters and pins. With --unequal stages run on up to three
kinds of devices, and there may be shared parameters, limits and pins besides; with --unequal-worksets working sets
count towards the capacity of some of them, too. With --attention up to 14 nodes are paths that feed a chain, with
shared parameters, different devices or both. With --in-flight stages keep activations for the microbatches they have in
flight. With --wide it has up to seven nodes whose costs span up to 24 orders of magnitude, and claims are held against
rational numbers in the unit of the input (graphs that are refused count as well); with --physical they are FLOPs and
bytes that a device prices, with --devices different ones for its stages. It prints a row an entry, and exits with 1 if
any claim was false.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, repeat
from multiprocessing import get_context

from rich.console import Console
from rich.progress import track
from rich.table import Table

from framework.contracts import Feature
from framework.model.problem import Problem
from framework.registry import Kind, load_plugins, registry
from framework.testing import wide_costs
from framework.testing.conformance import assert_bounds_hold, assert_true
from framework.testing.instances import (
    random_in_flight_problem,
    random_limited_problem,
    random_memory_problem,
    random_problem,
    random_shared_problem,
    random_unequal_problem,
    random_workset_problem,
)
from framework.testing.priced_instances import random_attention_problem, random_unequal_workset_problem
from framework.testing.wide_costs import assert_true_in_units

BATCH = 25

DRAWN: dict[str, Callable[[int], Problem]] = {
    "limited": random_limited_problem,
    "shared": random_shared_problem,
    "memory": random_memory_problem,
    "worksets": random_workset_problem,
    "unequal": random_unequal_problem,
    "unequal-worksets": random_unequal_workset_problem,
    "attention": random_attention_problem,
    "in-flight": random_in_flight_problem,
}
"""What draws a problem in ticks, by option."""

IN_UNITS: dict[str, wide_costs.Kind] = {"wide": "priced", "physical": "physical", "devices": "devices"}
"""What a graph in units of its own carries, by option."""


def check(entries: Sequence[str], seeds: Sequence[int], kind: str) -> dict[str, tuple[float, list[str]]]:
    """Return the seconds that each entry took for the problems, and every false claim it made."""
    load_plugins()
    seconds, faults = dict.fromkeys(entries, 0.0), {entry: list[str]() for entry in entries}
    for seed in seeds:
        hold = holder(seed, kind)
        for entry in entries:
            started = time.monotonic()
            try:
                hold(entry)
            except AssertionError as error:
                faults[entry].append(str(error).splitlines()[0])
            seconds[entry] += time.monotonic() - started
    return {entry: (seconds[entry], faults[entry]) for entry in entries}


def holder(seed: int, kind: str) -> Callable[[str], object]:
    """Return what holds an entry's claims against the optimum of a problem; one in ticks is drawn once for all."""
    if kind in IN_UNITS:
        return lambda entry: assert_true_in_units(entry, seed, kind=IN_UNITS[kind])
    if kind in DRAWN:
        problem, label = DRAWN[kind](seed), f"{DRAWN[kind].__name__}({seed})"
        return lambda entry: assert_bounds_hold(entry, problem, label=label, seed=seed)
    problem, label = random_problem(seed), f"random_problem({seed})"
    return lambda entry: assert_true(
        entry, problem, exact=Feature.EXACT in registry.features_of(entry), label=label, seed=seed
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", type=int, default=5000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--entry", action="append")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    which_problems = parser.add_mutually_exclusive_group()
    for name in (*DRAWN, *IN_UNITS):
        which_problems.add_argument(f"--{name}", action="store_const", const=name, dest="kind", default="plain")
    options = parser.parse_args()
    load_plugins()
    kinds = (Kind.FORMULATION, Kind.STRATEGY)
    entries = options.entry or [entry.name for kind in kinds for entry in registry.entries(kind)]
    seeds = batches(range(options.first, options.first + options.problems))
    took = dict.fromkeys(entries, 0.0)
    faults: dict[str, list[str]] = {entry: [] for entry in entries}
    with ProcessPoolExecutor(options.workers, mp_context=get_context("spawn")) as pool:
        results = pool.map(check, repeat(entries), seeds, repeat(options.kind))
        for batch in track(results, total=len(seeds), console=Console(stderr=True), transient=True):
            for entry, (seconds, false) in batch.items():
                took[entry] += seconds
                faults[entry] += false
    table = Table(title=f"{options.problems:,} random problems against exhaustion")
    for heading in ("entry", "problems", "seconds", "false claims"):
        table.add_column(heading, justify="left" if heading == "entry" else "right")
    for entry, seconds in took.items():
        table.add_row(entry, f"{options.problems:,}", f"{seconds:.0f}", str(len(faults[entry])))
    console = Console(width=120)
    console.print(table)
    for line in chain.from_iterable(faults.values()):
        console.print(line, style="red", highlight=False)
    return 1 if any(faults.values()) else 0


def batches(seeds: range) -> list[list[int]]:
    return [list(seeds[i : i + BATCH]) for i in range(0, len(seeds), BATCH)]


if __name__ == "__main__":
    raise SystemExit(main())

"""Run benchmarks, keep their figures, and write docs/measurements.md and the blocks of README.md from them.

    scripts/bench --list                    list the benchmarks
    scripts/bench NAME...                   run benchmarks and print their tables; use an idle machine
    scripts/bench NAME --set budget=5       with another parameter
    scripts/bench NAME --keep               write docs/measurements/NAME.json, and the pages from it
    scripts/bench --page [--check]          only write the pages; with --check exit with 1 if one is not current
    scripts/bench --readme                  run and keep the short benchmarks of README.md, and run its transcript

The published inputs of `dnn` and `pipedream` are expected in shared/data beside the checkout (or --set data=FOLDER).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from inspect import signature
from typing import Any

from figures import DATA, ROOT, Figures, busy_cores, measurement, read_measurement
from results import results
from rich.console import Console
from specs import SPECS, Spec, spec_of

PAGE = ROOT / "docs" / "measurements.md"
PAGES = (PAGE, ROOT / "README.md")
RESULTS = "results; scripts/bench --readme measures it again"
"""The block of README.md."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="benchmarks to run")
    parser.add_argument("--list", action="store_true", help="show the benchmarks")
    parser.add_argument("--set", action="append", default=[], metavar="PARAMETER=VALUE", help="repeatable")
    parser.add_argument("--keep", action="store_true", help="keep the figures, and write the pages")
    parser.add_argument("--page", action="store_true", help="write the pages from the figures that are kept")
    parser.add_argument("--readme", action="store_true", help="run and keep what README.md shows and takes minutes")
    parser.add_argument("--check", action="store_true", help="with --page: write nothing")
    arguments = parser.parse_args()
    if arguments.keep and arguments.set:
        parser.error("figures are kept for the parameters of the benchmark only: leave --set or --keep out")
    if arguments.readme:
        arguments.names, arguments.keep = [spec.name for spec in SPECS if spec.short], True
    if arguments.list or not (arguments.names or arguments.page):
        for spec in SPECS:
            print(f"{spec.name:<18}{spec.about}")
    if arguments.names:
        # Measured in this process as well as in others: no figure contains the time of a compilation.
        subprocess.run([sys.executable, "-m", "framework", "warm"], check=True, cwd=ROOT)
    for name in arguments.names:
        spec = spec_of(name) or parser.error(f"there is no benchmark {name}; --list shows those there are")
        run(spec, settings(arguments.set, spec), keep=arguments.keep)
    if arguments.page or arguments.keep:
        write_page(check=arguments.check)
    if arguments.readme:
        subprocess.run([sys.executable, str(ROOT / "scripts" / "build_transcripts.py"), "README.md"], check=True)


def settings(words: Sequence[str], spec: Spec) -> dict[str, Any]:
    """Return the parameters of a benchmark with those that --set names, each of the type that it has."""
    found = dict(spec.parameters)
    defaults = {name: parameter.default for name, parameter in signature(measure_of(spec)).parameters.items()}
    for word in words:
        name, _, text = word.partition("=")
        if name not in defaults:
            raise SystemExit(f"{spec.name} has no parameter {name}; it has {', '.join(defaults)}")
        value = found.get(name, defaults[name])
        if isinstance(value, tuple):
            found[name] = tuple(type(value[0])(part) for part in text.split(","))
        else:
            found[name] = type(value)(text)
    return found


def measure_of(spec: Spec) -> Callable[..., Sequence[Figures]]:
    """Return the function that makes the tables of a benchmark."""
    module, _, name = spec.measure.partition(":")
    function: Callable[..., Sequence[Figures]] = getattr(import_module(module), name)
    return function


def run(spec: Spec, parameters: Mapping[str, Any], *, keep: bool) -> None:
    """Run a benchmark; print its tables, and keep them if asked to."""
    busy = busy_cores() if keep else 0.0
    tables = measure_of(spec)(**parameters)
    for table in tables:
        table.show(Console(width=130))
    if keep:
        measurement(parameters, tables, busy).write(DATA / f"{spec.name}.json")


def write_page(*, check: bool = False) -> None:
    """Write the blocks of the pages."""
    for path in PAGES:
        current = path.read_text(encoding="utf-8")
        page = filled(current)
        if check and page != current:
            raise SystemExit(f"{path.name} is not current: run scripts/bench --page")
        if page != current:
            path.write_text(page, encoding="utf-8")


def filled(page: str) -> str:
    """Return the page with its blocks written from the data files.

    ``begin: NAME`` is the command, the day and the machine, and the first table; ``begin: NAME TABLE`` a table alone;
    `RESULTS` the table of README.md.
    """
    written: list[str] = []
    rest = page
    while (begin := rest.find("<!-- begin: ")) >= 0:
        label = rest[begin:].partition("<!-- begin: ")[2].partition(" -->")[0]
        before, _, tail = rest.partition(f"<!-- begin: {label} -->\n")
        _, closed, rest = tail.partition(f"<!-- end: {label} -->")
        if not closed:
            raise SystemExit(f"{PAGE.name}: the block {label} has no end")
        written += [before, f"<!-- begin: {label} -->\n\n{block(label)}\n\n<!-- end: {label} -->"]
    return "".join([*written, rest])


def block(label: str) -> str:
    """Return the content of a block."""
    if label == RESULTS:
        return results()
    name, _, table = label.partition(" ")
    spec = spec_of(name)
    path = DATA / f"{name}.json"
    if spec is None or not path.is_file():
        raise SystemExit(f"{PAGE.name}: there are no figures of a benchmark {name}")
    kept = read_measurement(path)
    chosen = [part for part in kept.tables if part.name == table] if table else kept.tables[:1]
    if not chosen:
        raise SystemExit(f"{PAGE.name}: the figures of {name} have no table {table}")
    if table:
        return chosen[0].markdown()
    return f"    scripts/bench {spec.name}\n\n{kept.measured}; {kept.machine}.\n\n{chosen[0].markdown()}"


if __name__ == "__main__":
    main()

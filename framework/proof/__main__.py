"""``python -m framework.proof PROOF GRAPH``: check a proof, and load nothing of what made it."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.device_chain import figures_only
from framework.model.graph import ModelGraph
from framework.model.training import Training
from framework.proof.check import problem_of, replay, unproven
from framework.proof.log import OtherVersionError, ProofLog, read_log, write_log
from framework.proof.shorten import Shortener


def main() -> int:
    """Check a proof and say what was done.

    Returns 0 if it holds, 1 if it does not, 4 if it is written by another version, and 2 if a file cannot be read.
    """
    parser = argparse.ArgumentParser(prog="python -m framework.proof", description=main.__doc__)
    parser.add_argument("proof", type=Path, metavar="PROOF", help="A log that `pipebound solve --proof` wrote.")
    parser.add_argument("graph", metavar="GRAPH", help="The graph that it is of, or testbed:NAME.")
    parser.add_argument("--plain", action="store_true", help="Compile nothing: slower, and less to trust.")
    parser.add_argument("--shorten", type=Path, metavar="OUT", help="Write a log there without what it can do without.")
    parser.add_argument("--seconds", type=float, default=60.0, help="How long --shorten looks for that (60).")
    given = parser.parse_args()
    try:
        log = read_log(given.proof)
        graph = read_graph(
            given.graph,
            format=log.read_as.get("format"),
            dims=log.read_as.get("dims"),
            training=Training.of(log.read_as) or False,
            drop_unused=log.read_as.get("drop_unused", False),
            kv_tokens=log.read_as.get("kv_tokens", 0),
        )
        found = replay(log, graph, plain=given.plain)
        said = found.lines()
        if given.shorten is not None and not found.fault:
            said.append(_shorten(log, graph, given.shorten, seconds=given.seconds, plain=given.plain))
    except OtherVersionError as error:
        print(unproven(error))
        return 4
    except UserError as error:
        print(f"python -m framework.proof: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("python -m framework.proof: interrupted", file=sys.stderr)
        return 130
    print("\n".join(said))
    return 1 if found.fault else 0


def _shorten(log: ProofLog, graph: ModelGraph, path: Path, *, seconds: float, plain: bool) -> str:
    """Write the shortest log that is found, which has been checked as a whole; return what to say of it."""
    shortener = Shortener(problem_of(log, graph)[0], log.steps, log.bound, seconds=seconds, plain=plain)
    shorter = replace(log, steps=tuple(shortener.run()), device=figures_only(log.device))
    if replay(shorter, graph, plain=plain).fault:
        shorter = log
    write_log(shorter, path)
    items = sum(_numbers(step.data) for step in log.steps), sum(_numbers(step.data) for step in shorter.steps)
    return f"Of {items[0]} numbers in its steps {items[1]} are needed: {path} has {path.stat().st_size} bytes."


def _numbers(value: object) -> int:
    """Count the numbers in the data of a step."""
    rows = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 1 if rows is None else sum(map(_numbers, rows))


if __name__ == "__main__":
    sys.exit(main())

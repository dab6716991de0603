"""``python -m framework.proof PROOF GRAPH``: check a proof, and load nothing of what made it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from framework.errors import UserError
from framework.formats import read_graph
from framework.model.training import Training
from framework.proof.check import replay
from framework.proof.log import read_log
from framework.proof.words import lines


def main() -> int:
    """Check a proof and say what was done; 0 if it holds, 1 if it does not, 2 if a file cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m framework.proof", description=main.__doc__)
    parser.add_argument("proof", type=Path, metavar="PROOF", help="A log that `pipebound solve --proof` wrote.")
    parser.add_argument("graph", metavar="GRAPH", help="The graph that it is of, or testbed:NAME.")
    parser.add_argument("--plain", action="store_true", help="Compile nothing: slower, and less to trust.")
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
    except UserError as error:
        print(f"python -m framework.proof: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("python -m framework.proof: interrupted", file=sys.stderr)
        return 130
    print("\n".join(lines(found)))
    return 1 if found.fault else 0


if __name__ == "__main__":
    sys.exit(main())

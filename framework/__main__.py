"""The command ``pipebound``, also as ``python -m framework``."""

import sys


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    if len(sys.argv) > 1 and sys.argv[1] in ("solve", "compare") and "--help" not in sys.argv:
        # Members need the heavy packages; importing them overlaps with everything that comes before.
        from framework.portfolio.nursery import start_fork_server

        start_fork_server()
    from framework.cli import run

    sys.exit(run())


if __name__ == "__main__":
    main()

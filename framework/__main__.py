"""The command ``pipebound``, also as ``python -m framework``."""

import sys

try:
    from framework.signals import command_is_done, end_at_signals, standard_streams
except KeyboardInterrupt:
    sys.exit(130)


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    if sys.argv[1:] == ["--version"]:
        from framework import __version__

        # Known without importing anything.
        print(f"pipebound {__version__}")
        return
    end_at_signals()
    standard_streams()
    if len(sys.argv) > 1 and sys.argv[1] in ("solve", "compare", "recommend") and "--help" not in sys.argv:
        # Members need the heavy packages; importing them overlaps with everything that comes before.
        from framework.portfolio.processes.fork_server import start_fork_server

        start_fork_server()
    from framework.cli import run

    code = run()
    command_is_done(code)
    sys.exit(code)


if __name__ == "__main__":
    main()

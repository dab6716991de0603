"""The command ``pipebound``, also as ``python -m framework``."""

import os
import signal
import sys

_EXIT_CODE = 130


def _end_at_once(signum: int, frame: object) -> None:
    """Say one line and end, as `framework.signals` does once it is imported."""
    os.write(2, b"pipebound: interrupted\n")
    os._exit(_EXIT_CODE)


if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    try:  # noqa: SIM105 - contextlib would be one import more
        # Before anything else is imported: meanwhile Python's own handler would answer Ctrl-C with a traceback.
        signal.signal(signal.SIGINT, _end_at_once)
    except ValueError:
        # Not in the main thread, which alone may do so: this is no command then.
        pass


def main() -> None:
    """Run the command line; a user's mistake is one line and exit code 2."""
    if sys.argv[1:] == ["--version"]:
        from framework import __version__

        # Known without importing anything.
        print(f"pipebound {__version__}")
        return
    from framework.signals import command_is_done, end_at_signals, standard_streams

    end_at_signals()
    standard_streams()
    runs = len(sys.argv) > 1 and sys.argv[1] in ("solve", "compare", "recommend") and "--help" not in sys.argv
    if runs and os.getloadavg()[0] < len(os.sched_getaffinity(0)):
        # Members need the heavy packages; importing them overlaps with everything that comes before. Where no core is
        # idle that would only slow it down: then the first member starts the server, if there is one.
        from framework.portfolio.processes.fork_server import start_fork_server

        start_fork_server()
    from framework.cli import run

    code = run()
    command_is_done(code)
    sys.exit(code)


if __name__ == "__main__":
    main()

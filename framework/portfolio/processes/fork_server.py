"""The fork server: one clean process imports the heavy packages, and members fork from it.

Members start in about 10 ms, and never from a process that has threads. This module imports nothing heavy, so that
the command line can start the server first and load everything else while the server does the same.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext
from types import ModuleType

from framework.signals import SIGNALS, ends_with_command, held


def process_context() -> ForkServerContext:
    """Return the context in which members are made."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["framework.portfolio.processes.preload"])
    return context


def start_fork_server() -> None:
    """Start the fork server without waiting for it; call this as early as possible."""
    process_context()
    # First, since starting it ends whatever is held back.
    resource_tracker.ensure_running()
    with held(SIGNALS), without_main_module():
        forkserver.ensure_running()
        if (pid := getattr(forkserver._forkserver, "_forkserver_pid", None)) is not None:
            ends_with_command("fork server", pid)


@contextmanager
def without_main_module() -> Iterator[None]:
    """Hide the user's main module while a process starts.

    Members find everything through the registry and never need it; the standard library would run the
    user's script again in every member, which demands a guard in each script.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main

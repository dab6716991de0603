"""A lock that lets one process at a time write the store of a study; it ends with that process, however that ends."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framework.errors import UserError

_PATIENCE = 0.5
"""A reader that asks whether a study runs holds the lock for an instant."""


def lock_path(store: Path) -> Path:
    """Return the lock file of a store; SQLite's own locks live in the store itself and must not be disturbed."""
    return store.with_name(f"{store.name}.lock")


@contextmanager
def writer_lock(store: Path) -> Iterator[None]:
    """Hold the right to write a store.

    The lock belongs to the process (``fcntl`` record lock): the kernel drops it when the process ends, children
    do not inherit it, and nothing has to be cleaned up after a crash.

    Raises
    ------
    UserError
        If another process holds it, naming that process.
    """
    path = lock_path(store)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise UserError(error.strerror or str(error), where=str(path), hint="the store's folder must exist") from error
    try:
        deadline = time.monotonic() + _PATIENCE
        while not _try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                holder = os.pread(descriptor, 200, 0).decode(errors="replace").strip() or "another process"
                raise UserError(
                    f"{holder} is writing to this store",
                    where=str(store),
                    hint="wait for it or end it; `pipebound study report --live` follows it",
                )
            time.sleep(0.02)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        # The file stays: removing it would let two processes lock two files of one name.
        os.close(descriptor)


def is_being_written(store: Path) -> bool:
    """Whether a study writes to the store now."""
    try:
        descriptor = os.open(lock_path(store), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.lockf(descriptor, kind | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True

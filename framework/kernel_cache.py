"""Where compiled kernels are kept: one folder for each state of the sources they are made of.

A compiled kernel holds copies of what it calls and of constants from other files, but numba only looks at the file
that a kernel is defined in: after an edit elsewhere it would go on with the old code, and a bound might be proven by
what is no longer there. So the folder is named by the content of all sources that kernels can reach, and by what else
decides on machine code: Python, numba, llvmlite, the processor. The path of the installation is no part of it: two
installations of the same sources share a folder.

The folder lies in the first of these places that serves:

1. ``PIPEBOUND_CACHE``, where the user has set it, also where it cannot be written to;
2. beside the package, where ``pipebound warm --into-package`` has compiled everything (images of containers);
3. the user's cache folder, ``XDG_CACHE_HOME`` or ``~/.cache``;
4. a folder of the user's own in the folder for temporary files.

With ``NUMBA_CACHE_DIR`` the user has chosen numba's own rules, which look at single files: kernels go there.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import sys
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from pathlib import Path

VARIABLE = "PIPEBOUND_CACHE"
NUMBA_VARIABLE = "NUMBA_CACHE_DIR"
PREFIX = "kernels-"
PACKAGE = Path(__file__).parent
SOURCES = ("structure", "model", "errors.py", "kernel_cache.py")
"""What kernels can reach, below the package; the tests hold the imports against it."""
_DECIDING = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_OPT", "NUMBA_BOUNDSCHECK", "NUMBA_DISABLE_JIT")
"""Variables that change the machine code."""
_LIFETIME = 30 * 24 * 3600.0
"""Seconds after which a folder that nobody has used is removed, whoever it belongs to."""
_MARK_AGE = 12 * 3600.0
_COMPLETE = "complete"
_held: list[int] = []
"""Descriptors of lock files, kept open for as long as the process lives."""


@cache
def kernel_state() -> str:
    """Return the name of the state of sources, compiler and processor."""
    return state_of(PACKAGE)


def state_of(package: Path) -> str:
    """Return a digest of everything that decides what kernels of a package are compiled to."""
    digest = hashlib.sha256()
    for name in SOURCES:
        place = package / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            if path.is_file():
                content = path.read_bytes()
                digest.update(f"{path.relative_to(package)} {len(content)}\n".encode() + content)
    words = [*map(_version, ("numba", "llvmlite", "numpy")), sys.version, *map(os.environ.get, _DECIDING)]
    if not (os.environ.get("NUMBA_CPU_NAME") and os.environ.get("NUMBA_CPU_FEATURES") is not None):
        words.append(_processor())
    digest.update(repr(words).encode())
    return digest.hexdigest()[:16]


def _version(name: str) -> str:
    """Return the version of a package without importing it, and without asking for the metadata of all others."""
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        return ""
    beside = sorted(path.name for path in Path(spec.origin).parent.parent.glob(f"{name}-*.dist-info"))
    if len(beside) == 1:
        return beside[0]
    from importlib.metadata import version

    return version(name)


def _processor() -> str:
    """Return model and features of the processor, as far as the system tells."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0].splitlines()
        wanted = ("model name", "flags", "Features", "CPU implementer", "CPU part")
        found = [line for line in lines if line.startswith(wanted)]
        if found:
            return "\n".join(found)
    return f"{platform.machine()} {platform.processor()}"


def package_place() -> Path:
    """Return where ``pipebound warm --into-package`` puts the folder."""
    return PACKAGE / "__pycache__"


@cache
def kernel_directory() -> Path | None:
    """Return the folder for this state, made ready for use; None with `NUMBA_VARIABLE`, or where none can be had."""
    if os.environ.get(NUMBA_VARIABLE):
        return None
    chosen = os.environ.get(VARIABLE)
    if chosen:
        return _prepare(Path(chosen).absolute())
    beside = package_place() / f"{PREFIX}{kernel_state()}"
    if (beside / _COMPLETE).exists():
        return _use(beside)
    for parent in cache_places():
        if (directory := _prepare(parent)) is not None:
            return directory
    return None


def cache_places() -> list[Path]:
    """Return where the folder may lie unless the user says otherwise, the best first."""
    places = []
    home = os.environ.get("XDG_CACHE_HOME")
    if home and Path(home).is_absolute():
        places.append(Path(home) / "pipebound")
    else:
        with contextlib.suppress(RuntimeError):
            # Some services run with no home, or with the root folder as one.
            if os.environ.get("HOME") not in ("", "/"):
                places.append(Path.home() / ".cache" / "pipebound")
    with contextlib.suppress(OSError):
        places.append(Path(tempfile.gettempdir()) / f"pipebound-{os.getuid()}")
    return places


def stamp_directory() -> Path | None:
    """Return the folder of the notes about what is compiled (see `is_compiled`)."""
    chosen = os.environ.get(NUMBA_VARIABLE)
    # Below a folder of the user's, kernels are kept by path.
    here = hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:8]
    return Path(chosen).absolute() / f"pipebound-{kernel_state()}-{here}" if chosen else kernel_directory()


def can_write() -> bool:
    """Whether what is compiled now can be kept."""
    directory = stamp_directory()
    if directory is None:
        return False
    try:
        directory.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
    except OSError:
        return False
    return True


def is_compiled(name: str) -> bool:
    """Whether everything under a name was compiled in this state."""
    directory = stamp_directory()
    return directory is not None and (directory / f"compiled-{name}").exists()


def note_compiled(name: str) -> None:
    """Note that everything under a name is compiled."""
    directory = stamp_directory()
    if directory is not None:
        with contextlib.suppress(OSError):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / f"compiled-{name}").touch()


def note_complete() -> None:
    """Note that all there is to compile is compiled."""
    directory = kernel_directory()
    if directory is not None:
        with contextlib.suppress(OSError):
            (directory / _COMPLETE).touch()


def _prepare(parent: Path) -> Path | None:
    """Make or find the folder below a place; None if that is not possible, or if it belongs to somebody else."""
    directory = parent / f"{PREFIX}{kernel_state()}"
    try:
        if not directory.is_dir():
            directory.mkdir(parents=True, mode=0o700)
            _remove_unused(directory)
        if os.environ.get(VARIABLE):
            return _use(directory)
        status = directory.stat()
    except OSError:
        return None
    # What lies there is loaded and run: only the user, or who installed the system, may have written it.
    if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o022:
        return None
    return _use(directory)


def _use(directory: Path) -> Path:
    """Let others see that the folder is in use: by a lock while this process lives, by a mark for a while."""
    with contextlib.suppress(OSError):
        descriptor = os.open(directory / "lock", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        _held.append(descriptor)
    mark = _mark(directory)
    with contextlib.suppress(OSError):
        if not mark.exists() or time.time() - mark.stat().st_mtime > _MARK_AGE:
            mark.parent.mkdir(exist_ok=True)
            mark.write_text(str(PACKAGE), encoding="utf-8")
    return directory


def _mark(directory: Path) -> Path:
    return directory / "users" / hashlib.sha256(str(PACKAGE).encode()).hexdigest()[:16]


def _remove_unused(directory: Path) -> None:
    """Remove folders that only this installation used before, that belong to none any more, or that are old.

    A folder stays while a process lives that uses it.
    """
    for other in directory.parent.glob(f"{PREFIX}*"):
        if other == directory:
            continue
        with contextlib.suppress(OSError, UnicodeDecodeError):
            _mark(other).unlink(missing_ok=True)
            marks = list((other / "users").glob("*"))
            alive = [
                mark
                for mark in marks
                if time.time() - mark.stat().st_mtime < _LIFETIME and Path(mark.read_text(encoding="utf-8")).exists()
            ]
            if alive:
                continue
            descriptor = os.open(other / "lock", os.O_RDONLY | os.O_CREAT, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(other, ignore_errors=True)
            finally:
                os.close(descriptor)


def hold_compiler_lock() -> int | None:
    """Return a descriptor that shuts other processes out while it is open; None if another one compiles now.

    Where files cannot be locked, nobody is shut out.
    """
    directory = stamp_directory()
    assert directory is not None
    try:
        descriptor = os.open(directory / "compiling", os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return os.open(os.devnull, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        pass
    return descriptor

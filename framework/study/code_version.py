"""Which code a run was made with: a digest of everything that can change what a run proves.

The revision of a checkout would change with every note in the documentation; this digest changes only with
the solving code and the plugins, so that a study goes on where nothing that matters was touched.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import framework
from framework.environment import environment
from framework.registry import PLUGIN_GROUP

_SOLVING = ("bounds.py", "contracts.py", "registry.py", "formats", "model", "portfolio", "structure")
_SUFFIXES = (".py", ".toml")


def code_version(plugin_files: tuple[str, ...] = ()) -> str:
    """Return ``version+digest`` of the solving code, every installed plugin package and the given files.

    The packages are looked at once, since a process goes on with the code it has loaded; plugin files every time,
    since every member loads them anew.
    """
    digest = hashlib.sha256(_package_digest().encode())
    for path in map(Path, plugin_files):
        digest.update(f"{path.name}\0{_digest(path)}\n".encode())
    return f"{framework.__version__}+{digest.hexdigest()[:12]}"


@cache
def _package_digest() -> str:
    root = Path(framework.__file__).parent
    places = [(f"framework/{name}", root / name) for name in _SOLVING]
    for point in sorted(metadata.entry_points(group=PLUGIN_GROUP), key=lambda point: point.name):
        package = point.value.partition(":")[0].partition(".")[0]
        spec = importlib.util.find_spec(package)
        if spec is not None:
            folders = spec.submodule_search_locations or ([] if spec.origin is None else [spec.origin])
            places += [(package, Path(folder)) for folder in folders]
    digest = hashlib.sha256()
    for name, place in places:
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if path.suffix in _SUFFIXES and path.is_file():
                relative = path.relative_to(place).as_posix()
                digest.update(f"{name}/{relative}\0{_digest(path)}\n".encode())
    return digest.hexdigest()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def study_environment() -> dict[str, object]:
    """Return what a run was made with: packages, interpreter, CPU, cores and the revision of a checkout."""
    return {**environment(), "cpu": _cpu(), "usable_cores": usable_cores(), "revision": _revision()}


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _revision() -> str | None:
    """Revision of the checkout that the package runs from, with ``+changes`` where files differ from it."""
    folder = Path(framework.__file__).parent.parent
    if not (folder / ".git").exists():
        return None
    try:
        revision, changes = (
            subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, timeout=10, check=True)
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return revision.stdout.strip() + ("+changes" if changes.stdout.strip() else "")

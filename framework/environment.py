"""What a run was made with: installed packages and their entry points, the interpreter and the machine.

`importlib.metadata` knows packages too. But importing it loads the parsers of mails and archives, and it reads the
whole description of a package for its version: a small graph is solved in that time. So names of folders say it here.
"""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, reduce
from importlib import import_module

import framework

PACKAGES = ("numpy", "numba", "ortools", "highspy", "cvxpy", "networkx", "onnx", "onnxruntime", "rich", "typer")
_ENDINGS = (".dist-info", ".egg-info")


def versions() -> dict[str, str]:
    """Return versions by name; a package that is not installed says so."""
    found = {"pipebound": framework.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        found[name] = installed_version(name) or "not installed"
    return found


def environment() -> dict[str, object]:
    """Return `versions` with the platform and the number of cores, for result files."""
    return {**versions(), "platform": platform.platform(), "cores": os.cpu_count() or 1}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledEntryPoint:
    """An object that an installed package offers to this one.

    Attributes
    ----------
    name, value
        What it is called, and ``module`` or ``module:attribute``.
    package
        Who offers it.
    """

    name: str
    value: str
    package: str

    def load(self) -> object:
        """Import it."""
        module, _, attributes = self.value.partition("[")[0].strip().partition(":")
        names = [name for name in attributes.strip().split(".") if name]
        return reduce(getattr, names, import_module(module.strip()))


def installed_version(name: str) -> str | None:
    """Return the version of a package; None if it is not installed."""
    path = tuple(sys.path)
    folder = _folders(path).get(_normal(name))
    if folder is None and not _has_archives(path):
        return None
    stem = "" if folder is None else os.path.basename(folder).removesuffix(_ENDINGS[0])
    if folder is not None and folder.endswith(_ENDINGS[0]) and "-" in stem:
        return stem.partition("-")[2]
    # In an archive, or in a folder without a version.
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def entry_points(group: str) -> tuple[InstalledEntryPoint, ...]:
    """Return the entry points of a group, of all packages on the path as it is now."""
    return _entry_points_on(tuple(sys.path), group)


@cache
def _entry_points_on(path: tuple[str, ...], group: str) -> tuple[InstalledEntryPoint, ...]:
    if _has_archives(path):
        from importlib import metadata

        return tuple(
            InstalledEntryPoint(name=point.name, value=point.value, package=point.dist.name if point.dist else "")
            for point in metadata.entry_points(group=group)
        )
    return tuple(
        InstalledEntryPoint(name=name, value=value, package=package)
        for package, folder in _folders(path).items()
        for name, value in _rows(os.path.join(folder, "entry_points.txt"), group)
    )


@cache
def _has_archives(path: tuple[str, ...]) -> bool:
    return any(os.path.isfile(entry) for entry in path)


@cache
def _folders(path: tuple[str, ...]) -> dict[str, str]:
    """Return the folder of each package by its normalised name; the first on the path wins, as it does for imports."""
    found: dict[str, str] = {}
    for entry in path:
        try:
            names = sorted(os.listdir(entry or "."))
        except OSError:
            continue
        for name in names:
            if name.endswith(_ENDINGS):
                package = _normal(name.rpartition(".")[0].partition("-")[0])
                found.setdefault(package, os.path.join(entry, name))
    return found


def _rows(file: str, group: str) -> Iterator[tuple[str, str]]:
    """Yield names and values of one section of a file, which need not exist."""
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            lines = opened.read().splitlines()
    except OSError:
        return
    section = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line.strip("[]").strip()
        elif section == group and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            yield name.strip(), value.strip()


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()

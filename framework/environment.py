"""What a run was made with: versions of this package, its dependencies, the interpreter and the machine."""

from __future__ import annotations

import os
import platform
from importlib import metadata

import framework

PACKAGES = ("numpy", "numba", "ortools", "highspy", "cvxpy", "networkx", "onnx", "onnxruntime", "rich", "typer")


def versions() -> dict[str, str]:
    """Return versions by name; a package that is not installed says so."""
    found = {"pipebound": framework.__version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def environment() -> dict[str, object]:
    """Return `versions` with the platform and the number of cores, for result files."""
    return {**versions(), "platform": platform.platform(), "cores": os.cpu_count() or 1}

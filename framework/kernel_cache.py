"""Where numba keeps compiled kernels: one directory for each state of the sources.

A compiled kernel holds copies of what it calls and of constants from other files, but numba only looks at the file
that a kernel is defined in: after an edit elsewhere it would go on with the old code, and a bound might be proven by
what is no longer there. So the directory is named by all sources together, and those of earlier states are removed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import MutableMapping
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
PREFIX = "kernels-"
SOURCES = Path(__file__).parent


def use_own_cache(environment: MutableMapping[str, str] = os.environ, sources: Path = SOURCES) -> Path | None:
    """Point numba at the directory of these sources, before any kernel is compiled; return it.

    A directory that the user has chosen is left alone, and so is numba's own choice where the sources cannot be written
    to; then None is returned.
    """
    chosen = environment.get(VARIABLE)
    if chosen and not Path(chosen).name.startswith(PREFIX):
        return None
    parent = sources / "__pycache__"
    directory = parent / f"{PREFIX}{_state(sources)}"
    earlier = [path for path in parent.glob(f"{PREFIX}*") if path != directory]
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(directory, os.W_OK):
        return None
    for path in earlier:
        shutil.rmtree(path, ignore_errors=True)
    environment[VARIABLE] = str(directory)
    if "numba" in sys.modules:
        sys.modules["numba"].config.reload_config()
    return directory


def _state(sources: Path) -> str:
    """Return a name for the paths, sizes and times of all source files."""
    digest = hashlib.sha256()
    for path in sorted(sources.rglob("*.py")):
        status = path.stat()
        digest.update(f"{path.relative_to(sources)} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]

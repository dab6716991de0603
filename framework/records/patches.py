"""A patch of the records for those who cannot write to them: `git apply` takes it in a checkout."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from pathlib import Path

from framework.records.files import FOLDER, records_path, records_text
from framework.records.pair import GraphRecords

_ROOT = FOLDER.parents[3]
_IN_CHECKOUT = FOLDER.relative_to(_ROOT).as_posix()


def in_checkout() -> bool:
    """Whether the package runs from a checkout whose records can be written, not from an installation."""
    folder = FOLDER if FOLDER.is_dir() else FOLDER.parent
    return (_ROOT / ".git").exists() and os.access(folder, os.W_OK)


def patch_text(changed: Iterable[GraphRecords], folder: Path | None = None) -> str:
    """Return what changes in the files of records, as `git diff` shows it; empty if nothing does."""
    parts = []
    for records in changed:
        path = records_path(records.graph, folder)
        name = f"{_IN_CHECKOUT}/{path.name}"
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        new = records_text(records)
        if old == new:
            continue
        head = f"diff --git a/{name} b/{name}\n" + ("" if old else "new file mode 100644\n")
        lines = difflib.unified_diff(
            old.splitlines(keepends=True),
            new.splitlines(keepends=True),
            f"a/{name}" if old else "/dev/null",
            f"b/{name}",
        )
        parts.append(head + "".join(lines))
    return "".join(parts)

"""Writing a file that a user asked for: whole or not at all, and through what is no regular file."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framework.errors import UserError

_OPEN_FILES = re.compile(r"/proc/|/dev/(std(in|out|err)|fd/)")
"""What stands for a file that is open already: replacing that would leave whoever holds it with the old one."""


def is_special(path: Path) -> bool:
    """Whether a file is there that must be written through: a device, a pipe, an open file of this process.

    Renaming another file to its name, as root may, would replace ``/dev/null`` itself.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) or _OPEN_FILES.match(str(path.absolute())) is not None


def write_text(path: Path, text: str, failure: str = "cannot be written") -> None:
    """Write a text file, whole or not at all; `failure` says what is wrong where that fails.

    Raises
    ------
    UserError
        If it cannot be written.
    """
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"{failure}: {error.strerror}", where=str(path)) from error


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path to write to; afterwards readers see the new file at once, and before that the old one.

    That is a file beside it, renamed at the end, or what the path stands for: a special file is written as it is, and
    of a symbolic link the file that it leads to is replaced. After an error, nothing is left.
    """
    if is_special(path):
        yield path
        return
    target = path.resolve() if path.is_symlink() else path
    temporary = target.with_name(f"{target.name}.tmp")
    try:
        yield temporary
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise

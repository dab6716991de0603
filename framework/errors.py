"""Errors that a user can mend, and errors that are ours."""

from __future__ import annotations


class UserError(Exception):
    """A user's mistake: one clear line and exit code 2.

    Parameters
    ----------
    what
        What is wrong, in a few words.
    where
        The file, line, node, field or option concerned; empty when `what` already says it.
    hint
        What to do about it; empty when it is obvious.
    """

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        line = f"{where}: {_cut(what)}" if where else _cut(what)
        super().__init__(f"{line} ({_cut(hint)})" if hint else line)


class OutOfTimeError(Exception):
    """The deadline passed, or the run was cancelled, before a result was complete."""


def _cut(text: str) -> str:
    """Leave out the middle of a text that quotes something absurdly long."""
    return text if len(text) <= 600 else f"{text[:400]} ... {text[-100:]}"

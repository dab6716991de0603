"""Where a forward pass leaves torch: the lines of the model's own code that read the values of tensors.

What Python or numpy computes from values cannot be followed, so a graph has no edges for it. Each such line is kept, so
that an error or a remark can name it.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from types import FrameType

import numpy
import torch

from framework.errors import UserError

_MEND = "compute this with torch, or read what torch.export.export(module, inputs, strict=True) returns"

_FOREIGN = (
    *(os.path.dirname(os.path.abspath(file or "")) for file in (torch.__file__, numpy.__file__, __file__)),
    "<frozen",
    "<eval_with_key>",
)


class Leavings:
    """The lines at which values of tensors that depend on an input were read."""

    def __init__(self) -> None:
        self.arrays: dict[str, None] = {}
        self.scalars: dict[str, None] = {}

    def note(self, what: str, *, array: bool) -> None:
        """Keep the line that runs now.

        Parameters
        ----------
        what
            What reads the values: ``numpy``, ``tolist``, ``item``.
        array
            Whether they become an array, which is computed with; else numbers, on which the path may depend.
        """
        (self.arrays if array else self.scalars).setdefault(f"{what} at {_running_line()}")

    def refuse(self, what: str) -> UserError:
        """Return the error for values that are unknown and cannot be guessed."""
        line = _running_line()
        return UserError(f"forward leaves torch with values that are unknown: {what} at {line}", hint=_MEND)

    def nothing_left(self) -> UserError | None:
        """Return the error for results that depend on no input because of these lines; None if there are none."""
        lines = [*self.arrays, *self.scalars]
        if not lines:
            return None
        what = f"forward leaves torch, and what it returns no longer depends on an input: {_listed(lines)}"
        return UserError(what, hint=_MEND)

    def remark(self) -> str | None:
        """Return the remark for a graph that lacks what was computed outside torch; None if nothing was."""
        if not self.arrays:
            return None
        return f"what forward computes outside torch is no part of the graph: {_listed(list(self.arrays))}"


def line_of(error: BaseException) -> str | None:
    """Return the deepest line of the model's own code that an error passed, as ``file:line in function``."""
    lines = [
        f"{_shown(frame.f_code.co_filename)}:{number} in {frame.f_code.co_name}"
        for frame, number in traceback.walk_tb(error.__traceback__)
        if not _is_foreign(frame)
    ]
    return lines[-1] if lines else None


def _running_line() -> str:
    for frame in _frames():
        if not _is_foreign(frame):
            return f"{_shown(frame.f_code.co_filename)}:{frame.f_lineno}"
    return "a line of the module's compiled code"


def _frames() -> Iterator[FrameType]:
    """Yield the running frames from the innermost up to the reader's own call of the model."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_name != "_run":
        yield frame
        frame = frame.f_back


def _is_foreign(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_FOREIGN)


def _shown(filename: str) -> str:
    inside = os.path.relpath(filename) if os.path.isabs(filename) else filename
    return filename if inside.startswith("..") else inside


def _listed(lines: list[str]) -> str:
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return ", ".join(lines[:3]) + more

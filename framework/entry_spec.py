"""Entries as people write them, ``name:param=value,param=value``, and the values of their parameters."""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Any

from framework.errors import UserError


@dataclass(frozen=True, slots=True)
class EntrySpec:
    """An entry with arguments, as written on a command line: ``superblocks:groups=4,windows=false``."""

    name: str
    arguments: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> EntrySpec:
        """Parse ``name`` or ``name:param=value,param=value``; a bracketed value may hold commas."""
        name, _, rest = text.partition(":")
        arguments = []
        for part in _split_outside_brackets(rest) if rest else []:
            key, equals, value = part.partition("=")
            if not equals or not key:
                raise UserError(f"cannot read {part!r}", where=text, mend="write name:param=value,param=value")
            arguments.append((key.strip().replace("-", "_"), value.strip()))
        return cls(name.strip(), tuple(arguments))

    def __str__(self) -> str:
        if not self.arguments:
            return self.name
        return f"{self.name}:{','.join(f'{key}={value}' for key, value in self.arguments)}"


def split_entries(text: str) -> tuple[str, ...]:
    """Return the entries of a list with commas, ``simple,cp-sat:x=1,y=2,ideal-dp``; one entry alone is such a list.

    A part between commas is a parameter of the entry before it if it has the form ``param=value``, else an entry.
    """
    entries: list[str] = []
    for part in map(str.strip, _split_outside_brackets(text)):
        key, equals, _ = part.partition("=")
        if not equals or ":" in key:
            entries.append(part)
        elif entries and ":" in entries[-1]:
            entries[-1] += f",{part}"
        else:
            raise UserError(f"{part!r} is a parameter of no entry", where=text, mend="write name:param=value")
    if not all(entries):
        raise UserError("an entry has no name", where=text, mend="write name,name or name:param=value,name")
    return tuple(entries)


def convert(text: str, annotation: Any, where: str) -> Any:
    """Return the value that a text stands for, of the type of a parameter; `where` is its place, for errors."""
    options = typing.get_args(annotation) if typing.get_origin(annotation) in (typing.Union, types.UnionType) else ()
    if options:
        if type(None) in options and text.lower() == "none":
            return None
        (annotation,) = [option for option in options if option is not type(None)][:1]
    if typing.get_origin(annotation) is typing.Literal:
        choices = typing.get_args(annotation)
        if text not in choices:
            raise UserError(f"{text!r} is not one of {', '.join(map(str, choices))}", where=where)
        return text
    try:
        if annotation is bool:
            return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
        if annotation in (int, float):
            return annotation(text)
    except (ValueError, KeyError):
        raise UserError(f"{text!r} is no {annotation.__name__}", where=where) from None
    if annotation is str:
        return text[1:-1] if text.startswith("[") and text.endswith("]") else text
    raise UserError(f"a parameter of type {annotation} cannot be given as text", where=where)


def _split_outside_brackets(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for i, char in enumerate(text):
        depth += (char == "[") - (char == "]")
        if char == "," and depth == 0:
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]

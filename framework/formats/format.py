"""What an input format is, and the formats there are: those of this package's modules, and those that plugins bring.

A format is one module with a constant ``FORMAT``::

    FORMAT = Format(
        name="edge-list",
        description="a line `TAIL HEAD` for each edge",
        patterns=("*.edges",),
        sniff=lambda data: data.startswith(b"# edges"),
        parse=parse,
    )

A module of this package is found by being here. A plugin, whether a file or the module that an entry point names, is
asked for its ``FORMAT`` when it is loaded; one with several calls `register_format`.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from importlib import import_module
from typing import TypeAlias

from framework.errors import UserError
from framework.formats.source import PathLike
from framework.model.graph import ModelGraph

HEAD = 1 << 16
"""Bytes at the beginning of a file that most sniffers are content with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What a user may say about how a file is to be read.

    Attributes
    ----------
    dims
        Sizes of symbolic dimensions by name.
    training
        Whether costs are to be those of a training step; formats that know backward times read them then.
    drop_unused
        Whether nodes that no output depends on cost nothing.
    kv_tokens
        Tokens whose keys and values attention nodes keep as state, of all sequences together; 0 for none.
    """

    dims: Mapping[str, int] = field(default_factory=dict)
    training: bool = False
    drop_unused: bool = False
    kv_tokens: int = 0

    def given(self) -> tuple[str, ...]:
        """Return the names of the options that say something."""
        return tuple(option.name for option in fields(self) if getattr(self, option.name))


Parse: TypeAlias = Callable[[bytes, PathLike, ReadOptions], ModelGraph]
"""Makes a graph of the (decompressed) content of a file, whose path is for names and errors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One input format.

    Attributes
    ----------
    name
        What ``--format`` calls it.
    description
        One line for people.
    patterns
        Usual file names (``.gz`` or ``.xz`` may follow); a hint only where the content decides nothing.
    sniff
        Whether (decompressed) content looks like this format.
    parse
        Reads it; imports what is heavy when it is called.
    options
        Fields of `ReadOptions` that it understands.
    names_itself
        Whether its files say that they are of this format; others, told by their looks, are asked after it.
    read_large
        Reads of a file of 2 GiB or more what `parse` needs; None for all of it.
    """

    name: str
    description: str
    patterns: tuple[str, ...]
    sniff: Callable[[bytes], bool]
    parse: Parse
    options: frozenset[str] = frozenset()
    names_itself: bool = False
    read_large: Callable[[PathLike], bytes] | None = None

    def __post_init__(self) -> None:
        if not self.name or set(self.name) - set("abcdefghijklmnopqrstuvwxyz0123456789-"):
            raise UserError(f"{self.name!r} is no name of a format", hint="use a-z, 0-9 and hyphens")
        unknown = self.options - {option.name for option in fields(ReadOptions)}
        if unknown:
            raise UserError(f"there is no option {min(unknown)!r}", where=f"format {self.name}")


_plugins: dict[str, Format] = {}


def register_format(new: Format) -> None:
    """Add the format of a plugin; once more does nothing.

    Raises
    ------
    UserError
        If another format has the name.
    """
    for known in formats():
        if known.name == new.name and known is not new:
            raise UserError(f"there is a format {new.name!r} already", hint="give the new one another name")
    _plugins[new.name] = new


def formats() -> tuple[Format, ...]:
    """Return all formats, in the order in which they are asked whether a file is theirs."""
    return tuple(sorted([*_built_in(), *_plugins.values()], key=lambda known: (not known.names_itself, known.name)))


@cache
def _built_in() -> tuple[Format, ...]:
    package = __name__.rpartition(".")[0]
    modules = pkgutil.iter_modules(import_module(package).__path__, f"{package}.")
    found = (getattr(import_module(module.name), "FORMAT", None) for module in modules)
    return tuple(known for known in found if isinstance(known, Format))


def starts_like_json(data: bytes) -> bool:
    """Whether content begins with a JSON object."""
    return data[:HEAD].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")

"""Entries: what is registered of them, and how people write them and their parameters, ``name:param=value``."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from framework.contracts import Feature
from framework.errors import UserError

_TUNING = "tuning"
TUNED: Mapping[str, bool] = MappingProxyType({_TUNING: True})
"""Metadata of the field of an entry that holds its tuned constants, a frozen dataclass.

It is no parameter: neither listed, nor given as text, nor part of what tells the runs of a study apart.
"""


class Kind(StrEnum):
    """What an entry is."""

    FORMULATION = "formulation"
    STRATEGY = "strategy"
    PORTFOLIO = "portfolio"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of an entry: a field of its dataclass."""

    name: str
    type: Any
    default: Any

    @property
    def type_name(self) -> str:
        """The type as a person writes it."""
        if typing.get_origin(self.type) is typing.Literal:
            return "|".join(map(str, typing.get_args(self.type)))
        return getattr(self.type, "__name__", str(self.type)) if isinstance(self.type, type) else str(self.type)


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Says of a parameter that it names another entry, which must be able to do something.

    Written as an annotation, ``over: Annotated[str, Names(contract=LagrangianFormulation, lacks="...")]``, it makes the
    registry check the name with all its parameters whenever the outer entry is created: before anything runs.

    Attributes
    ----------
    contract
        Protocol of `framework.contracts` that the entry fulfils.
    lacks
        What is said of an entry that does not: ``x decides no thresholds``.
    features
        What the entry supports besides.
    """

    contract: type
    lacks: str
    features: frozenset[Feature] = frozenset()

    def accepts(self, entry: Entry) -> bool:
        """Whether an entry may be named."""
        return issubclass(entry.factory, self.contract) and self.features <= entry.features


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A registered class.

    Attributes
    ----------
    name
        Unique across all kinds; lower case with hyphens.
    kind
        Formulation, strategy or portfolio.
    factory
        The frozen dataclass; its fields are the parameters.
    features
        What it can do.
    summary
        One line for listings.
    reference
        Where the method comes from.
    purpose
        What a formulation or strategy is good for, in a line; needed where no portfolio runs it.
    members
        Of a portfolio, the entries that it may run, ``name:param=value``.
    compile_rank
        Kernels of the highest rank are compiled first: those that take longest.
    compiled_after
        Name of an entry whose kernels are mostly those of this one.
    """

    name: str
    kind: Kind
    factory: type
    features: frozenset[Feature]
    summary: str
    reference: str
    purpose: str = ""
    members: tuple[str, ...] = ()
    compile_rank: int = 0
    compiled_after: str = ""

    def supports(self, feature: Feature) -> bool:
        """Whether the entry has a feature."""
        return feature in self.features

    def parameters(self) -> tuple[Parameter, ...]:
        """Return the parameters in the order of definition."""
        hints = typing.get_type_hints(self.factory)
        return tuple(
            Parameter(name=field.name, type=hints[field.name], default=field.default)
            for field in dataclasses.fields(self.factory)
            if field.init and _TUNING not in field.metadata
        )

    def nested(self) -> Mapping[str, Names]:
        """Return the parameters that name other entries."""
        hints = typing.get_type_hints(self.factory, include_extras=True)
        found = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
        return {name: note for name, notes in found.items() for note in notes if isinstance(note, Names)}


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
                raise UserError(f"cannot read {part!r}", where=text, hint="write name:param=value,param=value")
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
            raise UserError(f"{part!r} is a parameter of no entry", where=text, hint="write name:param=value")
    if not all(entries):
        raise UserError("an entry has no name", where=text, hint="write name,name or name:param=value,name")
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

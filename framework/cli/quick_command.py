"""Commands whose plain options are read at once: typer loads pydantic for each, which takes a tenth of a second."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args, get_origin

from typer.core import TyperCommand, TyperGroup

_PLAIN = (str, int, float, Path)


class QuickCommand(TyperCommand):
    """A command that converts texts, numbers and paths by itself, and leaves all else to typer: mistakes, too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line."""
        _convert_quickly(self.get_params(ctx))
        return super().parse_args(ctx, args)


class QuickGroup(TyperGroup):
    """The same for the options before the name of a command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line as far as the name of the command."""
        _convert_quickly(self.get_params(ctx))
        return super().parse_args(ctx, args)


def _convert_quickly(parameters: Iterable[Any]) -> None:
    for parameter in parameters:
        # Where typer keeps what converts a value, in the versions that load pydantic for it.
        if getattr(parameter, "_runtime_param", parameter) is None:
            parameter._runtime_param = _Conversion(parameter)


class _Conversion:
    """Stands in the place of what typer would make for a parameter, and makes it where it is needed."""

    def __init__(self, parameter: Any) -> None:
        self.parameter = parameter

    def coerce(self, value: Any, *, param: Any, ctx: Any) -> Any:
        """Return the value as the annotation of the parameter says."""
        descriptor = self.parameter.type_descriptor
        kind, info = descriptor.annotation, descriptor.parameter_info
        try:
            return _converted(value, kind, info)
        except (TypeError, ValueError):
            self.parameter._runtime_param = None
            return self.parameter.get_runtime_param().coerce(value, param=param, ctx=ctx)


def _converted(value: Any, kind: Any, info: Any) -> Any:
    """Return a value of one of the plain kinds, or a list of them.

    Raises
    ------
    ValueError
        If it is none, or out of the range that the option allows: typer knows what to say.
    """
    if value is None:
        return None
    if get_origin(kind) is list:
        return [_converted(one, get_args(kind)[0], info) for one in value]
    if kind not in _PLAIN or not isinstance(value, str | kind):
        raise ValueError(f"{value!r} is not plain")
    made = kind(value)
    limits = [getattr(info, side, None) for side in ("min", "max")]
    if any(limit is not None for limit in limits) and not _within(made, *limits):
        raise ValueError(f"{value!r} is out of range")
    return made


def _within(number: Any, least: float | None, most: float | None) -> bool:
    return (least is None or number >= least) and (most is None or number <= most)

"""Devices: what one pipeline stage runs on, and the presets shipped with their published figures."""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.fields import Fields
from framework.input_files import read_text

_NUMBERS = ("peak_flops", "memory_bandwidth", "link_bandwidth", "link_latency", "fast_memory", "memory_limit")
_MAY_BE_ZERO = ("link_latency", "fast_memory")

DEFAULT_DEVICE = "reference"
"""Prices graphs that hold FLOPs and bytes where nobody names another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A roofline model of one stage's device; None where a figure is not given.

    Attributes
    ----------
    name
        Preset or file name.
    peak_flops
        Floating point operations per second.
    memory_bandwidth
        Bytes per second between the device and the memory a node's data comes from.
    link_bandwidth
        Bytes per second of the link between stages; parameters beyond the fast memory come over it too.
    link_latency
        Seconds that handing over one tensor takes beside its bytes, on the side of the sender and on that of the
        receiver. A tensor of 0 bytes, which is a dependency without data, costs nothing.
    fast_memory
        Bytes of parameters a stage holds without streaming; ``inf`` for no limit.
    memory_limit
        The most bytes that a stage may hold at all (`framework.model.memory`): a hard limit, besides streaming.
    activations
        Whether the fast memory also holds the state of nodes and the largest working set of a node of the stage:
        inputs, outputs and workspace.
    source
        Where the figures are published.
    """

    name: str
    peak_flops: float | None = None
    memory_bandwidth: float | None = None
    link_bandwidth: float | None = None
    link_latency: float = 0.0
    fast_memory: float | None = None
    memory_limit: float | None = None
    activations: bool = False
    source: str = ""

    def __post_init__(self) -> None:
        for field in _NUMBERS:
            value = getattr(self, field)
            if value is None:
                continue
            finite = field == "fast_memory" or math.isfinite(value)
            if math.isnan(value) or not finite or value < 0 or (value == 0 and field not in _MAY_BE_ZERO):
                hint = "give 0 or a positive number" if field in _MAY_BE_ZERO else "give a positive number"
                raise UserError(f"{field} is {value}", where=f"device {self.name}", hint=hint)

    def override(
        self,
        *,
        link_bandwidth: float | None = None,
        link_latency: float | None = None,
        fast_memory: float | None = None,
        activations: bool | None = None,
    ) -> Device:
        """Return this device with the given figures replaced."""
        figures = {
            "link_bandwidth": link_bandwidth,
            "link_latency": link_latency,
            "fast_memory": fast_memory,
            "activations": activations,
        }
        changes: dict[str, Any] = {name: value for name, value in figures.items() if value is not None}
        return replace(self, **changes) if changes else self

    def as_dict(self) -> dict[str, Any]:
        """Return the figures for a result file; an infinite fast memory becomes None, False is left out."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if not self.activations:
            del values["activations"]
        if self.fast_memory is not None and math.isinf(self.fast_memory):
            values["fast_memory"] = None
        if self.memory_limit is None:
            # Files of earlier versions do not name it.
            del values["memory_limit"]
        return values


@cache
def preset_devices() -> dict[str, Device]:
    """Return the presets by name, in the order of the file they are kept in."""
    text = files("framework.model").joinpath("devices.toml").read_text(encoding="utf-8")
    tables = Fields(tomllib.loads(text), "devices.toml")
    return {name: read_device(tables.table(name), name) for name in tables.everything()}


def load_device(name_or_file: str) -> Device:
    """Return a preset by name, or the device described by a TOML file.

    Raises
    ------
    UserError
        If there is no such preset or file, or the file is malformed.
    """
    presets = preset_devices()
    if name_or_file in presets:
        return presets[name_or_file]
    path = Path(name_or_file)
    if path.suffix != ".toml":
        raise UserError(
            f"no device is called {name_or_file!r}", hint=f"choose one of {', '.join(presets)}, or give a .toml file"
        )
    return read_device(read_table(path), path.stem)


def read_table(path: Path) -> Fields:
    """Return the fields of a TOML file.

    Raises
    ------
    UserError
        If there is no such file, or it is malformed.
    """
    try:
        table = tomllib.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        # Broken syntax or encoding, an integer of thousands of digits, absurd nesting.
        raise UserError(f"not a TOML file: {error}", where=str(path)) from error
    return Fields(table, str(path))


def read_device(fields: Fields, name: str | None = None) -> Device:
    """Return the device that an object describes: of a TOML file, or what `Device.as_dict` wrote.

    Parameters
    ----------
    name
        What it is called where the object may leave that open.

    Raises
    ------
    UserError
        For a missing or unknown field, or a figure that is none.
    """
    numbers: dict[str, float] = {}
    for field in _NUMBERS:
        if field == "fast_memory" and fields.value(field) == math.inf:
            numbers[field] = math.inf
        elif not fields.null(field):
            numbers[field] = fields.number(field)
    called = fields.text("name", name) if name is not None else fields.text("name")
    source = fields.text("source", "", empty=True)
    activations = fields.flag("activations", False)
    fields.finish()
    try:
        return Device(name=called, source=source, activations=activations, **numbers)
    except UserError as error:
        raise UserError(error.what, where=fields.where(), hint=error.hint) from None

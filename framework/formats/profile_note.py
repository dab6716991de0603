"""What `pipebound profile` noted in a native graph beside the graph: how it measured, and on what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framework.errors import UserError
from framework.fields import Fields, check_values
from framework.formats.source import parse_json
from framework.input_files import read_bytes
from framework.model.device import Device
from framework.model.graph import ModelGraph, PhysicalCosts
from framework.model.pricing import needs_device

NOTE = "profile"
"""Field of a native graph in which `pipebound profile` notes how it measured."""


def read_note(path: str) -> dict[str, Any]:
    """Return what `pipebound profile` noted in a native graph; empty for any other file.

    Raises
    ------
    UserError
        If there is a note, and a field of it is not of the type it may be.
    """
    try:
        data = read_bytes(path)
        # A graph of a million nodes is not parsed once more for a note that it cannot hold.
        top = parse_json(data, path) if f'"{NOTE}"'.encode() in data else None
    except UserError:
        return {}
    if not isinstance(top, dict) or top.get(NOTE) is None:
        return {}
    note = Fields(top[NOTE], path, NOTE)
    check_values(top[NOTE], path)
    dims = note.table("dims")
    for name in dims.everything():
        dims.integer(name, least=0)
    if not note.null("operators"):
        for row in note.rows("operators"):
            row.texts("nodes")
    return note.everything()


HAND_OVER_PASSES = 3
"""Handing a tensor over costs about as many passes over it: it is read from another core's cache, and onnxruntime
changes its layout for the stage's operators, both ways."""


def stated_bandwidth(note: Mapping[str, Any], where: str) -> float | None:
    """Return the link bandwidth that follows from a note, in bytes per second; None if there is no note.

    Raises
    ------
    UserError
        If the note states no positive number.
    """
    refined = note.get("refined")
    if isinstance(refined, Mapping):
        field, passes, value = "refined.link_bandwidth", 1, refined.get("link_bandwidth")
    elif note.get("link_bandwidth") is not None:
        field, passes, value = "link_bandwidth", 1, note["link_bandwidth"]
    else:
        field, passes, value = "copy_bandwidth", HAND_OVER_PASSES, note.get("copy_bandwidth")
    if value is None:
        return None
    if not _is_number(value) or not 0 < value < 1e300:
        raise UserError(f"the profile's {field} is {value!r}", where=where, hint="give a `device`, or `bandwidth`")
    return float(value / passes)


def stated_latency(note: Mapping[str, Any], where: str) -> float:
    """Return the seconds that each tensor costs beside its bytes, by a note; 0 if it states none, as older ones do.

    Raises
    ------
    UserError
        If the note states no number of at least 0.
    """
    refined = note.get("refined")
    field, value = "link_latency", note.get("link_latency")
    if isinstance(refined, Mapping):
        field, value = "refined.link_latency", refined.get("link_latency")
    if value is None:
        return 0.0
    if not _is_number(value) or not 0 <= value < 1e300:
        raise UserError(f"the profile's {field} is {value!r}", where=where, hint="give a `device`")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def measured_device(graph: ModelGraph, path: str, bandwidth: float | None = None) -> Device | None:
    """Return the device that hands tensors over as fast as the machine that the graph was measured on.

    None for a graph that carries its prices, has nodes without a measured time, or for which there is no bandwidth.

    Parameters
    ----------
    bandwidth
        Bytes per second that count in place of what the file states.

    Raises
    ------
    UserError
        If the file states a bandwidth that is no positive number, or a latency that is none.
    """
    if not isinstance(graph.costs, PhysicalCosts) or needs_device(graph):
        return None
    note = read_note(path)
    stated = bandwidth if bandwidth is not None else stated_bandwidth(note, path)
    if stated is None:
        return None
    source = "what `pipebound profile` measured" if note else ""
    return Device(name="measured", link_bandwidth=stated, link_latency=stated_latency(note, path), source=source)

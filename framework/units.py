"""Parse times and sizes as people write them, such as 5us and 8GiB."""

from __future__ import annotations

import math
import re

from framework.errors import UserError

_SECONDS = {"": 1.0, "ms": 1e-3, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_SHORT = {"": 1.0, "ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0}
_BYTES = {
    "": 1.0,
    "b": 1.0,
    "k": 1e3,
    "kb": 1e3,
    "kib": 2.0**10,
    "m": 1e6,
    "mb": 1e6,
    "mib": 2.0**20,
    "g": 1e9,
    "gb": 1e9,
    "gib": 2.0**30,
    "t": 1e12,
    "tb": 1e12,
    "tib": 2.0**40,
}


def parse_seconds(text: str) -> float:
    """Read ``30``, ``30s``, ``500ms``, ``2m`` or ``1h`` as seconds."""
    seconds = _parse(text, _SECONDS, "a time such as 30s, 2m or 500ms")
    if seconds <= 0 or math.isinf(seconds):
        raise UserError(f"{text!r} is no time to run in", hint="give a positive time such as 30s")
    return seconds


def parse_latency(text: str) -> float:
    """Read ``5us``, ``0.2ms``, ``800ns`` or ``5e-6`` as seconds; ``0`` is none."""
    seconds = _parse(text, _SHORT, "a time such as 5us, 0.2ms or 5e-6 (seconds)")
    if math.isinf(seconds):
        raise UserError(f"{text!r} is endless", hint="give a time such as 5us, 0.2ms or 5e-6 (seconds)")
    return seconds


def parse_bytes(text: str) -> float:
    """Read ``16MiB``, ``1e9``, ``16GB`` or ``16GB/s`` as bytes (per second)."""
    return _parse(text.removesuffix("/s"), _BYTES, "a size such as 16MiB, 16GB or 1e9")


def _parse(text: str, units: dict[str, float], wanted: str) -> float:
    match = re.fullmatch(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z\u00b5\u03bc]*)\s*", text.lower())
    if match is None or match[2] not in units:
        raise UserError(f"cannot read {text!r}", hint=f"give {wanted}")
    unit = units[match[2]]
    try:
        # 100 us are 0.0001 s; the product with the float nearest to 1e-6 would be another number.
        return float(match[1]) * unit if unit >= 1 else float(match[1]) / round(1 / unit)
    except ValueError:
        raise UserError(f"cannot read {text!r}", hint=f"give {wanted}") from None

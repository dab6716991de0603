"""How numbers are written, everywhere the same."""

from __future__ import annotations

UNKNOWN = "-"


def quantity(value: float | None, digits: int = 6) -> str:
    """Write a value in its unit with up to `digits` significant digits; unknown as a dash."""
    if value is None:
        return UNKNOWN
    return f"{value:.{digits}g}"


def percent(share: float | None) -> str:
    """Write a share as a percentage that never rounds a gap away: 0% only where it is exactly zero."""
    if share is None:
        return UNKNOWN
    if share == 0:
        return "0%"
    text = f"{100 * share:.2f}%"
    return f"{100 * share:.1e}%" if text == "0.00%" else text


def ratio(value: float | None) -> str:
    """Write a ratio at most 1 with four decimals; 1.0000 only where it is exactly one."""
    if value is None:
        return UNKNOWN
    text = f"{value:.4f}"
    return ">.9999" if text == "1.0000" and value < 1 else text


def seconds(value: float | None) -> str:
    """Write a duration in seconds."""
    if value is None:
        return UNKNOWN
    return f"{value:.2f} s" if value < 100 else f"{value:.0f} s"


def scaled_unit(unit: str, typical: float) -> tuple[str, float]:
    """Return a unit that reads well for a typical value, and the factor to multiply values with."""
    if unit != "s" or typical <= 0 or typical >= 1:
        return unit, 1.0
    for name, factor in (("ms", 1e3), ("us", 1e6), ("ns", 1e9)):
        if typical * factor >= 1:
            return name, factor
    return "ns", 1e9

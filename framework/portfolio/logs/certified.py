"""Reading a certificate that holds the data of one rule of proof logs, and the version of the rules that wrote it."""

from __future__ import annotations

from typing import Any

from framework.bounds import Certificate
from framework.proof.log import BOUNDS, check_version


def certified_data(rule: str, certificate: Certificate) -> dict[str, Any]:
    """Return the data of a rule from a certificate that holds that and its version, and nothing else.

    Raises
    ------
    OtherVersionError
        If another version of the rule wrote it.
    ValueError
        If it holds other fields, or anything but whole numbers.
    """
    check_version(rule, certificate.data.get("version"))
    fields = certificate.whole_data("version", *BOUNDS[rule])
    return {name: fields[name] for name in BOUNDS[rule]}

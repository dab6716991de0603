"""What certificates of rules of proofs hold: the data of the rule, and the version that wrote it."""

from __future__ import annotations

from typing import Any

from framework.bounds import Certificate
from framework.proof.log import BOUNDS, check_version


def certified_data(rule: str, certificate: Certificate) -> dict[str, Any]:
    """Return the fields of a bound's rule that a certificate holds, and the version that wrote it, and nothing else.

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

"""Reading back what this program wrote: JSON objects that name their format and version."""

from __future__ import annotations

import os

from framework.fields import Fields, check_values, shown
from framework.formats.source import PathLike, parse_json
from framework.input_files import read_bytes


def read_document(path: PathLike, *, format: str, version: int, hint: str) -> Fields:
    """Return the fields of a document of ours; `format` and `version` are taken already.

    Parameters
    ----------
    format, version
        What the document must say it is.
    hint
        Which command writes such a document.

    Raises
    ------
    UserError
        If the file cannot be read, is not JSON, or is a document of another format or version.
    """
    return parse_document(read_bytes(path), os.fspath(path), format=format, version=version, hint=hint)


def parse_document(data: bytes, where: str, *, format: str, version: int, hint: str) -> Fields:
    """Return the fields of a document of ours that is in memory; as `read_document`."""
    document = parse_json(data, where)
    fields = Fields(document, where)
    found, number = fields.value("format"), fields.value("version")
    if found != format:
        raise fields.error("", f"not a {format}", hint)
    if type(number) is not int or number != version:
        raise fields.error("", f"version {shown(number)} is not known", f"this is {version}")
    check_values(document, where)
    return fields

"""Sending results to the records: each is verified, and what is better is written into a checkout or into a patch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from framework.errors import UserError
from framework.output_files import write_text
from framework.portfolio.reading import read_result_document
from framework.records.considering import Considered, consider, current_records
from framework.records.files import write_records
from framework.records.improving import ContradictionError
from framework.records.offers import Circumstances, FalseResultError, name_of_graph
from framework.records.pair import GraphRecords
from framework.records.patches import in_checkout, patch_text
from framework.records.posing import PosedGraph, pose

PATCH = Path("records.patch")
"""The patch, unless another file is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """What became of one file.

    Attributes
    ----------
    path
        The file.
    considered
        What its pair takes from it; None where the file is refused.
    refused
        Why it is refused; empty where it is not.
    """

    path: Path
    considered: Considered | None
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What became of all files.

    Attributes
    ----------
    rows
        One a file, in their order.
    written
        The files of records, or the patch, that hold what is better.
    is_patch
        Whether that is a patch.
    """

    rows: tuple[Submitted, ...]
    written: tuple[Path, ...]
    is_patch: bool

    @property
    def is_false(self) -> bool:
        """Whether some file is false, or contradicts the records."""
        return any(row.refused for row in self.rows)


def submit(
    paths: Sequence[Path],
    *,
    proof: Path | None = None,
    credit: str = "",
    patch: Path | None = None,
    folder: Path | None = None,
) -> Submission:
    """Verify results and put what is better than the records into them.

    Parameters
    ----------
    paths
        Files that `solve -o` wrote.
    proof
        A proof log of the only result.
    credit
        Name to be kept beside what is better.
    patch
        File for a patch; where none is given, the records of a checkout are changed, and a patch `PATCH` is written
        where the package is an installation or cannot be written to.
    folder
        Where the records are; those of the package by default.

    Raises
    ------
    UserError
        If a file cannot be read, or is not of a problem that there are records of; nothing is written then.
    """
    if proof is not None and len(paths) != 1:
        raise UserError("a proof log is of one result", where="`proof`", hint="submit its result alone")
    documents = [(path, read_result_document(path)) for path in paths]
    today = datetime.now(UTC).strftime("%Y-%m-%d")
    posed: dict[str, PosedGraph] = {}
    records: dict[str, GraphRecords] = {}
    better: set[str] = set()
    rows: list[Submitted] = []
    for path, document in documents:
        name = name_of_graph(document, str(path))
        if name not in posed:
            posed[name] = pose(name)
            records[name] = current_records(posed[name], folder)
        given = Circumstances(where=str(path), date=today, credit=credit, proof=proof)
        try:
            found = consider(document, posed[name], records[name], given)
        except (FalseResultError, ContradictionError) as error:
            rows.append(Submitted(path=path, considered=None, refused=str(error)))
            continue
        rows.append(Submitted(path=path, considered=found))
        if found.change.is_better:
            records[name] = found.records
            better.add(name)
    changed = [records[name] for name in sorted(better)]
    is_patch = patch is not None or not (folder is not None or in_checkout())
    written: tuple[Path, ...] = ()
    if changed and is_patch:
        written = (patch or PATCH,)
        write_text(written[0], patch_text(changed, folder))
    elif changed:
        written = tuple(write_records(graph, folder) for graph in changed)
    return Submission(rows=tuple(rows), written=written, is_patch=is_patch)

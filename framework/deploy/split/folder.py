"""The folder of a split: what of it belongs to an earlier split, and how a new split takes its place.

A split is written into a new folder beside the target (inside it, where the target exists) and moved to its place when
every file of it has passed its checks, so that a run that fails or is killed leaves the target as it was.

What an earlier split owns is what its manifest names, and of that only plain files of the names that stages have
(``stage3.onnx``, ``stage3.weights``), the corrected graph, and the model in the folder ``whole``. A manifest is data,
it may be damaged or come from somebody else, so a path in it is never followed. Files of the user stay.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.deploy.split.manifest import GRAPH, NAME, PENDING, WHOLE, is_bare, read_document
from framework.errors import UserError

_STAGE_FILE = re.compile(r"stage\d+\.(onnx|pt2|weights)")
_WHOLE_FILE = re.compile(r".+\.(onnx|pt2|weights)", re.DOTALL)
_MARK = ".pipebound-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A folder that a split may be written to.

    Attributes
    ----------
    folder
        The folder, which may not exist yet.
    old
        Files of an earlier split in it, which the new one replaces, relative to the folder.
    force
        Whether any file with the name of a stage may be replaced.
    """

    folder: Path
    old: tuple[str, ...]
    force: bool


def check_target(folder: Path, origin: Path, *, inputs: Sequence[Path] = (), force: bool = False) -> Target:
    """Check that a split may be written to a folder, and leave it as it is.

    Parameters
    ----------
    folder
        New, empty, or with an earlier split of the same model.
    origin
        The unsplit model, as the user has it.
    inputs
        Files that must stay: what the split is made from.
    force
        Replace the split of another model, one with a damaged manifest, or files of stages without a manifest.

    Raises
    ------
    UserError
        If it cannot be made or written to, or holds what must not be replaced.
    """
    where = str(folder)
    if not os.path.lexists(folder):
        above = next(path for path in folder.absolute().parents if os.path.lexists(path))
        _check_writable(above)
        return Target(folder=folder, old=(), force=force)
    _check_writable(folder)
    entries = [path for path in folder.iterdir() if not _is_leftover(path)]
    old: list[str] = []
    if (folder / NAME).is_file():
        old = _owned(folder, origin, force)
    elif entries and not force:
        raise UserError(
            "the folder is not empty", where=where, hint="give a new one, or `force` to replace files of stages in it"
        )
    if force:
        old += [path.name for path in entries if _STAGE_FILE.fullmatch(path.name)]
    # A link is replaced itself; what it leads to stays.
    old = [name for name in dict.fromkeys(old) if (folder / name).is_symlink() or (folder / name).is_file()]
    for name in old:
        if any(path.exists() and path.samefile(folder / name) for path in inputs):
            raise UserError(
                "this file would be replaced, and is needed", where=str(folder / name), hint="give a new `output`"
            )
    return Target(folder=folder, old=tuple(old), force=force)


@contextmanager
def replacing(target: Target) -> Iterator[Path]:
    """Give a folder to write a split to, its manifest last; move it to its place at the end, remove it on errors.

    Raises
    ------
    UserError
        If the folder cannot be made, or a file in the target is in the way.
    """
    folder = target.folder
    inside = folder.is_dir()
    name = f"{_MARK}{os.getpid()}-{secrets.token_hex(4)}"
    temporary = folder / name if inside else folder.with_name(f"{name}-{folder.name}")
    try:
        temporary.mkdir(parents=True)
    except OSError as error:
        raise UserError(error.strerror or str(error), where=str(folder)) from None
    try:
        yield temporary
        if inside:
            _publish(temporary, target)
        else:
            temporary.rename(folder)
        _remove_leftovers(folder)
    except OSError as error:
        raise UserError(error.strerror or str(error), where=str(error.filename or folder)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def origin_of(folder: Path, document: Mapping[str, Any]) -> Path:
    """Return where the model that a manifest's split was made from is, as far as it says."""
    model = document["model"]
    return Path(str(model["source"])) if model.get("source") else folder / str(model["path"])


def _check_writable(folder: Path) -> None:
    if not folder.is_dir():
        raise UserError("this is not a folder", where=str(folder), hint="give another `output`")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UserError("nothing can be written here", where=str(folder), hint="give another `output`")


def _owned(folder: Path, origin: Path, force: bool) -> list[str]:
    """Return the files that the manifest in a folder names and that have the names of a split's files."""
    hint = "give a new folder, or `force` to replace the stages"
    try:
        document = read_document(folder)
        old = origin_of(folder, document)
        # Earlier versions did not say where a model without weights was, and kept its name only.
        nameless = document["model"].get("weights") == "generated" and not document["model"].get("source")
    except (UserError, KeyError, TypeError, AttributeError, ValueError) as error:
        if force:
            return [NAME]
        what = error.what if isinstance(error, UserError) else "the manifest is damaged"
        raise UserError(what, where=str(folder / NAME), hint=hint) from None
    same = old.name == origin.name if nameless else old.resolve() == origin.resolve()
    if not same and not force:
        raise UserError(f"the folder holds the stages of another model, {old}", where=str(folder), hint=hint)
    names = list(_strings(document.get("stages"))) + [str(name) for name in document.get(PENDING) or ()]
    found = [name for name in names if is_bare(name) and _STAGE_FILE.fullmatch(name)]
    whole = (folder / WHOLE, Path(str(document["model"].get("path"))))
    if not whole[0].is_symlink() and whole[1].parts[:-1] == (WHOLE,) and _WHOLE_FILE.fullmatch(whole[1].name):
        found += [f"{WHOLE}/{whole[1].name}", f"{WHOLE}/{whole[1].stem}.weights"]
    return [*found, *([GRAPH] if "refined" in document else []), NAME]


def _strings(stages: Any) -> Iterator[str]:
    """Iterate over the names of files in the rows of a manifest that may be damaged."""
    for row in stages if isinstance(stages, list) else ():
        for field in ("file", "weights_file"):
            if isinstance(row, dict) and isinstance(row.get(field), str):
                yield row[field]


def _publish(temporary: Path, target: Target) -> None:
    """Move a finished split into an existing folder; the manifest says what is going on until all is there."""
    folder = target.folder
    names = sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*") if path.is_file())
    for name in names:
        path = folder / name
        if path.parent != folder and (path.parent.is_symlink() or os.path.lexists(path.parent) != path.parent.is_dir()):
            raise UserError("this is in the way", where=str(path.parent), hint="give another `output`")
        if os.path.lexists(path) and name not in target.old:
            raise UserError(
                "a file that no split of this model wrote is in the way",
                where=str(path),
                hint="`force` replaces files of stages; or give another `output`",
            )
    if target.old:
        pending = json.loads((temporary / NAME).read_text(encoding="utf-8"))
        pending[PENDING] = [name for name in {*target.old, *names} if _STAGE_FILE.fullmatch(name)]
        (temporary / _MARK).write_text(json.dumps(pending), encoding="utf-8")
        (temporary / _MARK).replace(folder / NAME)
    for name in target.old:
        if name != NAME:
            (folder / name).unlink(missing_ok=True)
    for name in [*(name for name in names if name != NAME), NAME]:
        (folder / name).parent.mkdir(exist_ok=True)
        (temporary / name).replace(folder / name)
    if WHOLE not in {Path(name).parts[0] for name in names} and not (folder / WHOLE).is_symlink():
        with suppress(OSError):
            (folder / WHOLE).rmdir()


def _is_leftover(path: Path) -> bool:
    return path.name.startswith(_MARK) and path.is_dir() and not path.is_symlink()


def _remove_leftovers(folder: Path) -> None:
    """Remove what runs that were killed have left inside the folder, or beside it on the way to it."""
    beside = [path for path in folder.absolute().parent.glob(f"{_MARK}*") if path.name.endswith(f"-{folder.name}")]
    for path in [path for path in (*folder.iterdir(), *beside) if _is_leftover(path)]:
        number = path.name.removeprefix(_MARK).partition("-")[0]
        if number.isdecimal() and int(number) != os.getpid() and not Path(f"/proc/{number}").exists():
            shutil.rmtree(path, ignore_errors=True)

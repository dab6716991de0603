"""The modules that names of nodes tell of: which one ran a node, and which nodes ran in the modules of a pattern.

Two spellings are known. torch's modules are read with names like ``encoder.layer.3.output.dense.addmm``: the path of
the module, the operator, and a number where a module runs an operator more than once; models of torch's newer ONNX
exporter with ``encoder.layer.3.output.dense.node_linear_17``. torch's ONNX exporter writes
``/encoder/layer.3/output/dense/Add``: one part for each module that was called, where a part of a list repeats the name
of the list, ``/layer1/layer1.0/conv1/Conv``. Other names tell nothing, and their path is empty.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase

from framework.errors import UserError

Path = tuple[str, ...]
"""Names of attributes from the model down; empty for the model itself."""


def module_paths(names: Sequence[str]) -> list[Path]:
    """Return for each node the path of the module that ran it, given the names of all nodes of a graph."""
    # Operators are numbered from 1: a name that ends in 0 is that of an element of a list, and so are its neighbours.
    lists = {name[: -len(".0")] for name in names if name.endswith(".0")}
    return [_path(name, lists) for name in names]


def matching_modules(paths: Sequence[Path], patterns: Sequence[str], where: str = "") -> list[Path | None]:
    """Return for each node the outermost module around it that one of the patterns names; None where there is none.

    Parameters
    ----------
    patterns
        Names with dots, which may begin anywhere in a path: ``layers.*`` names ``model.layers.0``. ``*`` and ``?``
        stand for characters of one name.
    where
        What the names are of, for errors.

    Raises
    ------
    UserError
        If a pattern names no module.
    """
    wanted = [tuple(part for part in pattern.replace("/", ".").split(".") if part) for pattern in patterns]
    found: dict[Path, Path | None] = {}
    used: set[int] = set()
    for path in dict.fromkeys(paths):
        found[path] = None
        for depth in range(1, len(path) + 1):
            hits = [i for i, parts in enumerate(wanted) if _ends_with(path[:depth], parts)]
            used.update(hits)
            if hits and found[path] is None:
                found[path] = path[:depth]
    for i, pattern in enumerate(patterns):
        if i not in used:
            raise UserError(f"no module is called {pattern!r}", where=where, hint=_offer(paths))
    return [found[path] for path in paths]


def dotted(path: Path) -> str:
    """Return a path as torch writes it."""
    return ".".join(path)


def is_element(module: Path, known: Collection[Path]) -> bool:
    """Whether a module is an element of a list: its name is a number, or ends in one and others of that kind are there.

    Parameters
    ----------
    known
        All modules of the model.
    """
    name = module[-1]
    if name.isdecimal():
        return True
    stem, line, number = name.rpartition("_")
    return bool(line) and number.isdecimal() and all((*module[:-1], f"{stem}_{i}") in known for i in (0, 1))


def _path(name: str, lists: set[str]) -> Path:
    if "/" in name:
        path: Path = ()
        before: Path = ()
        for text in name.split("/")[:-1]:
            part = tuple(filter(None, text.split(".")))
            repeats = bool(before) and len(part) > len(before) and part[: len(before)] == before
            path = (path[: len(path) - len(before)] if repeats else path) + part
            before = part
        return path
    parts = name.split(".")
    numbered = len(parts) > 1 and parts[-1].isdecimal()
    if numbered and ".".join(parts[:-1]) in lists:
        return tuple(parts)
    return tuple(parts[: -2 if numbered else -1])


def _ends_with(path: Path, parts: Path) -> bool:
    if not parts or len(parts) > len(path):
        return False
    return all(map(fnmatchcase, path[len(path) - len(parts) :], parts))


def _offer(paths: Sequence[Path]) -> str:
    """Return a hint that names what there is: lists of modules first, as these are what people mean."""
    known = {path[:i] for path in paths for i in range(1, len(path) + 1)}
    lists = dict.fromkeys(
        dotted((*path[:i], "*")) for path in paths for i in range(len(path)) if is_element(path[: i + 1], known)
    )
    shown = list(lists or dict.fromkeys(path[0] for path in paths if path))
    if not shown:
        return "the names of the nodes tell of no modules: read the torch module itself, or export it with torch.onnx"
    return f"there are {', '.join(shown[:4])}" + (f" and {len(shown) - 4} more" if len(shown) > 4 else "")

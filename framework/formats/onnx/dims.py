"""Symbolic dimensions by name: expressions of others follow from them, and advice is spelled as a shell takes it.

Exporters name a dimension ``past_sequence_length + 1`` or ``(s0 - 1)//2 + 1``: arithmetic of whole numbers on other
dimensions. Such a size need not be given; if it is, it must be the one that follows.
"""

from __future__ import annotations

import ast
import difflib
import operator
import shlex
from collections.abc import Callable, Iterable, Mapping

from framework.errors import UserError

_MOST_BITS = 63

_OPERATORS: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_FUNCTIONS = ("ceil", "floor", "max", "min")


def check_sizes(dims: Mapping[str, int], where: str) -> None:
    """Refuse sizes that no dimension can have."""
    for name, size in dims.items():
        if not 0 <= size < 1 << _MOST_BITS:
            said = "negative" if size < 0 else "beyond 64 bits"
            raise UserError(f"{dims_argument({name: size})} is {said}", where=where, hint="give a size")


def with_derived(dims: Mapping[str, int], symbols: Iterable[str], where: str) -> dict[str, int]:
    """Return the given sizes and those of the expressions among `symbols` that follow from them.

    Raises
    ------
    UserError
        If a given size is another than follows, or an expression has no size.
    """
    found = dict(dims)
    for symbol in symbols:
        tree = _expression(symbol)
        if tree is None or not _names(tree) <= dims.keys():
            continue
        size = _value(tree, dims)
        if size is None:
            continue
        basis = ", ".join(f"{name}={dims[name]}" for name in sorted(_names(tree)))
        if symbol in dims and dims[symbol] != size:
            raise UserError(
                f"the dimension {symbol!r} is {size} against {dims[symbol]}: {basis} against what is given for it",
                where=where,
                hint=f"leave out {dims_argument({symbol: dims[symbol]})}, or change the others",
            )
        if not 0 <= size < 1 << _MOST_BITS:
            raise UserError(f"the dimension {symbol!r} is {size} with {basis}", where=where, hint="give other sizes")
        found[symbol] = size
    return found


def to_give(symbols: Iterable[str], dims: Mapping[str, int]) -> list[str]:
    """Return the dimensions to ask a user for: of an expression, those that it is made of and that are not given."""
    wanted: dict[str, None] = {}
    for symbol in symbols:
        tree = _expression(symbol)
        names = set() if tree is None else _names(tree) - dims.keys()
        wanted.update(dict.fromkeys(sorted(names) or [symbol]))
    return list(wanted)


def dim_options(symbols: Iterable[str], size: int = 1) -> str:
    """Return the options that set dimensions, as a shell takes them."""
    return " ".join(f"--dim {shlex.quote(f'{symbol}={size}')}" for symbol in dict.fromkeys(symbols))


def dims_argument(sizes: Mapping[str, int]) -> str:
    """Return the argument that sets dimensions, as an error names it."""
    return f"`dims={dict(sizes)!r}`"


def check_names(dims: Mapping[str, int], known: set[str], where: str) -> None:
    """Refuse names that no dimension of a model has; expressions are known by what they are made of, too."""
    known = known | set(to_give(known, {}))
    for name in dims:
        if name not in known:
            near = difflib.get_close_matches(name, sorted(known), 3)
            hint = f"did you mean {', '.join(near)}?" if near else f"it has {', '.join(sorted(known)) or 'none'}"
            raise UserError(f"the model has no dimension {name!r}", where=where, hint=hint)


def conflict(shapes: Iterable[tuple[int, ...]], dims: Mapping[str, int]) -> tuple[int, int, str] | None:
    """Return two sizes of shapes that should agree, aligned at their ends, and the options that may have set one."""
    seen: dict[int, int] = {}
    for shape in shapes:
        for axis, size in enumerate(reversed(shape)):
            if size != 1 and seen.setdefault(axis, size) != size:
                pair = (seen[axis], size)
                blamed = [name for name, given in dims.items() if given in pair] or list(dims)
                return (*pair, dims_argument({name: dims[name] for name in blamed}))
    return None


def _expression(symbol: str) -> ast.expr | None:
    """Return the arithmetic that a name spells, None if it is a plain name or anything else."""
    if symbol.isidentifier() or len(symbol) > 500:
        return None
    try:
        tree = ast.parse(symbol.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return tree if _names(tree) and _is_arithmetic(tree) else None


def _is_arithmetic(tree: ast.expr) -> bool:
    if isinstance(tree, ast.BinOp):
        return type(tree.op) in (*_OPERATORS, ast.Div) and _is_arithmetic(tree.left) and _is_arithmetic(tree.right)
    if isinstance(tree, ast.Call):
        named = isinstance(tree.func, ast.Name) and tree.func.id.lower() in _FUNCTIONS
        return named and bool(tree.args) and not tree.keywords and all(map(_is_arithmetic, tree.args))
    return isinstance(tree, ast.Name) or (isinstance(tree, ast.Constant) and type(tree.value) is int)


def _names(tree: ast.expr) -> set[str]:
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called}


def _value(tree: ast.expr, dims: Mapping[str, int]) -> int | None:
    """Return the value of an expression, None if it is no whole number of reasonable size."""
    if isinstance(tree, ast.Name):
        return dims[tree.id]
    if isinstance(tree, ast.Constant):
        return tree.value if isinstance(tree.value, int) else None
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name):
        return _called(tree.func.id.lower(), tree.args, dims)
    if not isinstance(tree, ast.BinOp):
        return None
    left, right = _value(tree.left, dims), _value(tree.right, dims)
    if left is None or right is None or max(left.bit_length(), right.bit_length()) > 2 * _MOST_BITS:
        return None
    if isinstance(tree.op, ast.Div):
        return left // right if right and left % right == 0 else None
    if isinstance(tree.op, ast.FloorDiv | ast.Mod) and not right:
        return None
    return _OPERATORS[type(tree.op)](left, right)


def _called(name: str, arguments: list[ast.expr], dims: Mapping[str, int]) -> int | None:
    """Return a maximum or minimum, or a quotient rounded down or up."""
    first = arguments[0]
    if name in ("floor", "ceil") and isinstance(first, ast.BinOp) and isinstance(first.op, ast.Div):
        above, below = _value(first.left, dims), _value(first.right, dims)
        if above is None or not below:
            return None
        return above // below if name == "floor" else -(-above // below)
    values = [value for argument in arguments if (value := _value(argument, dims)) is not None]
    if len(values) < len(arguments):
        return None
    return min(values) if name == "min" else max(values)

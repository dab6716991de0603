"""The fields of a manifest: their types, and that stages, tensors, inputs and outputs belong together."""

from __future__ import annotations

from collections.abc import Iterable

from framework.fields import Fields, shown
from framework.model.device_chain import read_devices
from framework.model.instance import MAX_STAGES
from framework.portfolio.constraints import read_constraints


def check_manifest(top: Fields) -> None:
    """Check all that is read from a manifest; fields that this version does not know are left alone.

    Raises
    ------
    UserError
        Naming the file and the field.
    """
    model = top.table("model")
    model.text("path")
    model.text("weights")
    if not model.null("source"):
        model.text("source")
    model.null("dims", absent=False)
    dims = model.table("dims")
    for name in dims.everything():
        dims.integer(name, least=0)
    makers: dict[str, int | None] = {}
    for row in top.rows("inputs"):
        makers[_tensor(row)] = None
        row.integer_list("stages", least=0)
    numbers: dict[int, list[str]] = {}
    needs: list[tuple[Fields, list[str]]] = []
    for row in top.rows("stages"):
        number = row.integer("stage", least=max(numbers, default=-1) + 1, most=MAX_STAGES - 1)
        row.text("file")
        if not row.null("weights_file", absent=False):
            row.text("weights_file")
        row.integer("weight_bytes", least=0)
        row.texts("nodes")
        for name in ("copies", "left_out"):
            row.texts(name, ())
        numbers[number] = row.texts("outputs")
        needs.append((row, row.texts("inputs")))
    if not top.null("empty_stages"):
        top.integer_list("empty_stages", least=0, most=MAX_STAGES - 1)
    if not numbers:
        raise top.error("stages", "there is no stage")
    for row in top.rows("tensors"):
        name = _tensor(row)
        makers[name] = row.integer("from", least=0)
        _check_made(row, name, makers[name], numbers)
        if not row.null("bytes", absent=False):
            row.integer("bytes", least=0)
        for number in row.integer_list("to", least=0):
            if number not in numbers:
                raise row.error("to", f"there is no stage {shown(number)}")
    for row in top.rows("outputs"):
        name = _tensor(row)
        if row.null("stage", absent=False):
            _check_known(row, "name", [name], makers)
        else:
            _check_made(row, name, row.integer("stage", least=0), numbers)
    for row, names in needs:
        _check_known(row, "inputs", names, makers)
    for row in top.rows("shared_weights", ()):
        row.text("name", empty=True)
        row.integer("bytes", least=0)
        row.integer_list("stages", least=0)
    top.texts("remarks")
    if not top.null("predicted"):
        _check_predicted(top.table("predicted"))
    if not top.null("refined"):
        top.table("refined")


def _tensor(row: Fields) -> str:
    row.text("dtype")
    for key, size in row.entries("shape"):
        if size is not None and not isinstance(size, str) and (type(size) is not int or size < 0):
            raise row.error(key, f"{shown(size)} is no size")
    return row.text("name")


def _check_made(row: Fields, name: str, number: int | None, numbers: dict[int, list[str]]) -> None:
    if number not in numbers or name not in numbers[number]:
        raise row.error("name", f"{shown(name)} is no output of stage {shown(number)}")


def _check_known(row: Fields, key: str, names: Iterable[str], makers: dict[str, int | None]) -> None:
    for name in names:
        if name not in makers:
            raise row.error(key, f"{shown(name)} is neither an input of the model nor a tensor between stages")


def _check_predicted(row: Fields) -> None:
    row.text("unit", empty=True)
    for name in ("bottleneck", "dual_bound"):
        if not row.null(name, absent=False):
            row.number(name)
    row.text("status")
    row.integer("stages", least=1, most=MAX_STAGES)
    row.rows("stage_costs")
    for memory in row.rows("stage_memory", ()):
        for name in ("parameters", "state", "workset", "peak_live"):
            memory.integer(name, least=0)
    if not row.null("graph", absent=False):
        row.text("graph")
    if not row.null("device", absent=False):
        read_devices(row.table("device"))
    row.flag("drop_unused", False)
    row.integer("kv_tokens", 0, least=0)
    if not row.null("constraints"):
        read_constraints(row.table("constraints"))

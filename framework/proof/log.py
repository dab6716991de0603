"""The proof log: a JSON document, its versions, and what of it is refused before anything is checked."""

from __future__ import annotations

import json
import lzma
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from framework.errors import UserError
from framework.fields import Fields, check_values
from framework.formats.source import parse_json
from framework.input_files import read_bytes
from framework.model.device_chain import Devices, read_devices
from framework.model.instance import MAX_STAGES
from framework.output_files import replacing
from framework.proof.given import Given, read_given

FORMAT = "pipebound-proof"
CHANGED = {
    "core-program": 2,
    "fixing": 2,
    "nested-cuts": 3,
    "spreading-metric": 3,
    "filter": 4,
    "merge": 4,
    "tensor-count": 4,
    "lp-dual": 4,
}
"""Rules that came, or read other data, or make other things of it, since a version after the first: since which."""
VERSION = max(CHANGED.values())
"""The latest version; a log states the first one in which all its rules are what they are now."""
NUMBER, FLAG, LIST, LISTS = "number", "flag", "list", "lists"
"""What a field of a step holds: an integer, true or false, integers, or lists of integers."""
REDUCTIONS: dict[str, dict[str, str]] = {
    "contract": {"moves": LIST},
    "charge": {"payers": LIST},
    "uniform": {},
    "hold": {"amount": NUMBER},
    "anchor": {"amount": NUMBER},
    "narrow": {},
    "threshold-contract": {"threshold": NUMBER, "rounds": LISTS},
    "filter": {"threshold": NUMBER, "rounds": LISTS},
    "merge": {"factor": NUMBER},
}
"""Rules that make a smaller problem, with their fields."""
BOUNDS: dict[str, dict[str, str]] = {
    "simple": {},
    "tensor-count": {},
    "packing": {"threshold": NUMBER, "with_parameters": FLAG, "family": NUMBER, "parameter": NUMBER},
    "windows": {"threshold": NUMBER},
    "anchored-cut": {"node": NUMBER, "share": NUMBER},
    "stage-prices": {"threshold": NUMBER, "prices": LIST, "theta": NUMBER, "order": LIST, "tree": LIST},
    "counting-shares": {"threshold": NUMBER, "weights": LIST, "bounds": LIST, "trees": LISTS},
    "spreading-metric": {"threshold": NUMBER, "total": NUMBER, "tensors": LISTS, "cliques": LISTS, "rows": LISTS},
    "lp-dual": {"threshold": NUMBER, "sizes": LIST, "tensors": LISTS, "shared": LISTS, "tree": LISTS},
    "nested-cuts": {"threshold": NUMBER, "sizes": LIST, "tree": LISTS, "tensors": LISTS, "shares": LISTS},
    "ideal-program": {"threshold": NUMBER},
    "core-program": {
        "threshold": NUMBER,
        "order": LIST,
        "fluid": LIST,
        "backwards": FLAG,
        "counted": NUMBER,
        "some": LIST,
        "grain": NUMBER,
        "weights": LIST,
        "chains": LISTS,
        "units": LISTS,
        "common": LIST,
        "by_unit": FLAG,
    },
    "fixing": {"threshold": NUMBER, "rounds": LISTS},
}
"""Rules that prove a bound, with their fields; the last step is one of them, and no other is."""


class OtherVersionError(UserError):
    """A proof is written by other rules than those of this program: it shows nothing, and need not be false."""


def is_current(rule: str, version: object) -> bool:
    """Whether a rule has not changed since a version."""
    return type(version) is int and CHANGED.get(rule, 1) <= version <= VERSION


def check_version(rule: str, version: object, where: str = "") -> None:
    """Refuse what was written by another version of a rule.

    Raises
    ------
    OtherVersionError
        If it was, or states no version.
    """
    if not is_current(rule, version):
        by = "a version of proofs without a number" if version is None else f"version {version} of proofs"
        hint = f"the rule is that of version {CHANGED.get(rule, 1)} now: solve again"
        raise OtherVersionError(f"{rule} was written by {by}", where=where, hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step: a rule, and the data that it is applied with."""

    rule: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofLog:
    """What a log says.

    Attributes
    ----------
    graph
        ``sha256`` of the graph.
    read_as
        How its file was read: `format`, `dims`, `drop_unused`, `kv_tokens`, `training` with `microbatches` and
        `optimizer_states`, where not as by default.
    device
        What prices it; None where the graph has prices.
    stages
        Number of stages.
    given
        What is fixed beforehand.
    bound
        No partition has a bottleneck below this; ticks.
    steps
        Reductions, then one rule that proves the bound. Nodes are numbered as in the priced graph, which is in
        topological order, and after a reduction by the smallest members of what became one node.
    stage_of
        The stage of each node of the graph in a partition that costs no more than the bound; None without one.
    """

    graph: str
    read_as: Mapping[str, Any] = field(default_factory=dict)
    device: Devices | None
    stages: int
    given: Given = field(default_factory=Given)
    bound: int
    steps: tuple[Step, ...]
    stage_of: tuple[int, ...] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the document."""
        version = max(CHANGED.get(step.rule, 1) for step in self.steps)
        document: dict[str, Any] = {"format": FORMAT, "version": version, "graph": self.graph}
        if self.read_as:
            document["read_as"] = dict(self.read_as)
        document |= {
            "device": None if self.device is None else self.device.as_dict(),
            "stages": self.stages,
            "bound_ticks": self.bound,
            "steps": [{"rule": step.rule, **step.data} for step in self.steps],
        }
        if self.given != Given():
            document["constraints"] = self.given.as_dict()
        return document if self.stage_of is None else document | {"stage_of": list(self.stage_of)}


def read_log(path: Path) -> ProofLog:
    """Read a log, packed or not.

    Raises
    ------
    UserError
        In one line, for whatever is no log.
    OtherVersionError
        If it is one of another version.
    """
    return parse_log(parse_json(read_bytes(path), str(path)), str(path))


def parse_log(document: object, where: str) -> ProofLog:
    """Return what a document says.

    Raises
    ------
    UserError, OtherVersionError
        As `read_log`.
    """
    check_values(document, where)
    fields = Fields(document, where)
    fields.choice("format", [FORMAT])
    if (version := fields.integer("version", least=1)) > VERSION:
        hint = f"this program knows {VERSION} and earlier"
        raise OtherVersionError(f"version {version} of proofs is not known", where=where, hint=hint)
    steps = tuple(_step(row, version, where) for row in fields.rows("steps"))
    rules = [step.rule for step in steps]
    if not rules or rules[-1] not in BOUNDS or any(rule in BOUNDS for rule in rules[:-1]):
        raise fields.error("steps", "it must end with the one step that proves a bound", ", ".join(BOUNDS))
    log = ProofLog(
        graph=fields.text("graph"),
        read_as=_read_as(fields.table("read_as")),
        device=None if fields.null("device") else read_devices(fields.table("device")),
        stages=fields.integer("stages", least=1, most=MAX_STAGES),
        given=Given() if fields.null("constraints") else read_given(fields.table("constraints")),
        bound=fields.integer("bound_ticks", least=0),
        steps=steps,
        stage_of=None if fields.null("stage_of") else tuple(fields.integer_list("stage_of", least=0)),
    )
    fields.finish()
    return log


def _read_as(fields: Fields) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if fields.has("format"):
        given["format"] = fields.text("format")
    if fields.has("dims"):
        dims = fields.table("dims")
        given["dims"] = {name: dims.integer(name, least=1) for name in dims.everything()}
    for name in ("training", "drop_unused"):
        if fields.has(name):
            given[name] = fields.flag(name)
    for name in ("kv_tokens", "microbatches"):
        if fields.has(name):
            given[name] = fields.integer(name, least=1)
    if fields.has("optimizer_states"):
        given["optimizer_states"] = fields.integer("optimizer_states", least=0)
    fields.finish()
    return given


def _step(fields: Fields, version: int, where: str) -> Step:
    rules = REDUCTIONS | BOUNDS
    rule = fields.choice("rule", rules)
    check_version(rule, version, where)
    data: dict[str, Any] = {}
    for name, kind in rules[rule].items():
        if kind == NUMBER:
            data[name] = fields.integer(name, least=None)
        elif kind == FLAG:
            data[name] = fields.flag(name)
        elif kind == LIST:
            data[name] = _integers(fields, name, fields.value(name))
        else:
            data[name] = [_integers(fields, name, row) for _, row in fields.entries(name)]
    fields.finish()
    return Step(rule=rule, data=data)


def _integers(fields: Fields, name: str, value: object) -> list[int]:
    if not isinstance(value, list) or not all(type(item) is int for item in value):
        raise fields.error(name, "it is no list of integers")
    return value


def write_log(log: ProofLog, path: Path) -> None:
    """Write a log; packed if the name ends in ``.xz``.

    Raises
    ------
    UserError
        If the file cannot be written.
    """
    text = json.dumps(log.as_dict(), separators=(",", ":"), allow_nan=False) + "\n"
    data = text.encode()
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(lzma.compress(data) if path.suffix == ".xz" else data)
    except OSError as error:
        raise UserError(f"cannot write the proof: {error.strerror}", where=str(path)) from error

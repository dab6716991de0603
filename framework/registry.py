"""The registry of all formulations, strategies and portfolios, by name, with their parameters.

Registering is one decorator on one frozen dataclass. Built-ins and a researcher's own package come in through
the same entry-point group, ``pipebound.plugins``; a single file comes in through `load_plugin_file`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import os
import pkgutil
import sys
import traceback
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from framework.contracts import (
    ColumnFormulation,
    DecisionFormulation,
    Feature,
    Formulation,
    LagrangianFormulation,
)
from framework.entry_spec import TUNED as TUNED
from framework.entry_spec import Entry as Entry
from framework.entry_spec import EntrySpec as EntrySpec
from framework.entry_spec import Kind as Kind
from framework.entry_spec import Names as Names
from framework.entry_spec import Parameter as Parameter
from framework.entry_spec import convert
from framework.entry_spec import split_entries as split_entries
from framework.environment import InstalledEntryPoint, entry_points
from framework.errors import UserError
from framework.formats.format import Format, register_format
from framework.model.problem import Problem

PLUGIN_GROUP = "pipebound.plugins"
_COSTS = frozenset({Feature.LIMITS, Feature.SHARED, Feature.WORKSETS, Feature.UNEQUAL})
"""Features that an entry which drives another one has only if that one has them."""
_PLUGIN_PREFIX = "pipebound_plugin_"

T = TypeVar("T", bound=type)


class Registry:
    """Entries by name; rejects duplicates, explains what it does not know."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}

    def add(self, entry: Entry) -> None:
        """Add an entry.

        Raises
        ------
        UserError
            If the name is taken by another class, is malformed, or the class does not fulfil its contract.
        """
        taken = self._entries.get(entry.name)
        where = f"{entry.factory.__module__}.{entry.factory.__qualname__}"
        if taken is not None:
            raise UserError(
                f"the name {entry.name!r} is taken by {taken.factory.__module__}.{taken.factory.__qualname__}",
                where=where,
                hint="register it under another name",
            )
        if not entry.name or set(entry.name) - set("abcdefghijklmnopqrstuvwxyz0123456789-"):
            raise UserError(f"{entry.name!r} is no name", where=where, hint="use a-z, 0-9 and hyphens")
        if not dataclasses.is_dataclass(entry.factory):
            raise UserError("not a dataclass", where=where, hint="decorate it with @dataclass(frozen=True)")
        method = {Kind.FORMULATION: "bound", Kind.STRATEGY: "run", Kind.PORTFOLIO: "members"}[entry.kind]
        required = [method] + (["decide"] if entry.supports(Feature.DECISION) else [])
        for name in required:
            if not hasattr(entry.factory, name):
                raise UserError(
                    f"has no {name!r}", where=where, hint=f"a {entry.kind} needs it; see framework.contracts"
                )
        self._entries[entry.name] = entry

    def get(self, name: str) -> Entry:
        """Return the entry called `name`; a UserError lists the nearest names otherwise."""
        if name not in self._entries:
            import difflib

            near = difflib.get_close_matches(name, self._entries, n=3, cutoff=0.5)
            hint = f"did you mean {', '.join(near)}?" if near else "see `pipebound list`"
            raise UserError(f"nothing is registered as {name!r}", hint=hint)
        return self._entries[name]

    def entry_of(self, made: object) -> Entry | None:
        """Return the entry that something was created by; None if its class is not registered."""
        return next((entry for entry in self._entries.values() if entry.factory is type(made)), None)

    def problem_for(self, made: object, problem: Problem) -> Problem:
        """Return the problem to give to an entry: a relaxation, where it lacks a feature that the problem needs.

        That is the one without hard limits, the one in which one user pays for each shared parameter, the one in which
        all working sets are the smallest, the one in which all stages are as the cheapest device, or several of these.
        """
        entry = self.entry_of(made)
        if entry is None or not entry.supports(Feature.LIMITS):
            problem = problem.without_limit()
        if entry is None or not entry.supports(Feature.SHARED):
            problem = problem.charged()
        if entry is None or not entry.supports(Feature.WORKSETS):
            problem = problem.without_worksets()
        return problem if entry is not None and entry.supports(Feature.UNEQUAL) else problem.uniform()

    def inner_of(self, spec: EntrySpec | str) -> str:
        """Return the spec of the entry that another one drives, by a parameter such as `over`; empty for none."""
        name = EntrySpec.parse(spec).name if isinstance(spec, str) else spec.name
        made = self.create(spec)
        return str(next((getattr(made, parameter) for parameter in self.get(name).nested()), ""))

    def features_of(self, spec: EntrySpec | str) -> frozenset[Feature]:
        """Return what an entry can do with its arguments: over another it keeps to limits only if that does, and so on.

        The same holds of counting shared parameters and working sets, and of unequal devices.
        """
        name = EntrySpec.parse(spec).name if isinstance(spec, str) else spec.name
        features, inner = self.get(name).features, self.inner_of(spec)
        return features - (_COSTS - self.features_of(inner)) if inner else features

    def entries(self, kind: Kind | None = None, *, supporting: Iterable[Feature] = ()) -> tuple[Entry, ...]:
        """Return the entries of a kind (all kinds if None) that support all given features, by name."""
        wanted = frozenset(supporting)
        return tuple(
            entry
            for _, entry in sorted(self._entries.items())
            if (kind is None or entry.kind is kind) and wanted <= entry.features
        )

    def portfolios_of(self, name: str) -> tuple[str, ...]:
        """Return the portfolios that run an entry, on some problem, or run one that drives it."""
        return tuple(
            portfolio.name
            for portfolio in self.entries(Kind.PORTFOLIO)
            if any(name in self._driven(member) for member in portfolio.members)
        )

    def _driven(self, text: str) -> list[str]:
        inner = self.inner_of(text)
        return [EntrySpec.parse(text).name, *(self._driven(inner) if inner else [])]

    def create(self, spec: EntrySpec | str) -> Any:
        """Instantiate an entry with the parameters of a spec.

        Raises
        ------
        UserError
            For an unknown name, an unknown parameter, or a value the entry refuses.
        """
        if isinstance(spec, str):
            spec = EntrySpec.parse(spec)
        entry = self.get(spec.name)
        known = {parameter.name: parameter for parameter in entry.parameters()}
        arguments: dict[str, Any] = {}
        for name, text in spec.arguments:
            if name not in known:
                options = ", ".join(known) or "none"
                raise UserError(f"{spec.name} has no parameter {name!r}", hint=f"its parameters: {options}")
            arguments[name] = convert(text, known[name].type, where=f"{spec.name}:{name}")
        try:
            made = entry.factory(**arguments)
        except (TypeError, ValueError) as error:
            raise UserError(str(error), where=str(spec)) from error
        for name, names in entry.nested().items():
            self._check_nested(getattr(made, name), names, where=f"{spec.name}:{name}")
        return made

    def _check_nested(self, text: str, names: Names, where: str) -> None:
        try:
            inner = EntrySpec.parse(text)
            if not names.accepts(self.get(inner.name)):
                able = ", ".join(entry.name for entry in self.entries() if names.accepts(entry))
                raise UserError(f"{inner.name} {names.lacks}", hint=f"choose one of: {able}")
            self.create(inner)
        except UserError as error:
            raise UserError(
                error.what, where=f"{where}: {error.where}" if error.where else where, hint=error.hint
            ) from None

    def create_formulation(self, spec: EntrySpec | str) -> Formulation:
        """Instantiate an entry that must be a formulation."""
        name = EntrySpec.parse(spec).name if isinstance(spec, str) else spec.name
        kind = self.get(name).kind
        if kind is not Kind.FORMULATION:
            raise UserError(f"{name} is a {kind}, not a {Kind.FORMULATION}")
        return typing.cast(Formulation, self.create(spec))

    def create_decision(self, spec: EntrySpec | str) -> DecisionFormulation:
        """Instantiate an entry that must support `Feature.DECISION`."""
        name = EntrySpec.parse(spec).name if isinstance(spec, str) else spec.name
        if not self.get(name).supports(Feature.DECISION):
            able = ", ".join(entry.name for entry in self.entries(supporting=[Feature.DECISION]))
            raise UserError(f"{name} decides no thresholds", hint=f"choose one of: {able}")
        return typing.cast(DecisionFormulation, self.create(spec))


registry = Registry()
"""The one registry of the process."""

DecisionName = typing.Annotated[
    str,
    Names(contract=DecisionFormulation, lacks="decides no thresholds", features=frozenset({Feature.DECISION})),
]
"""Type of a parameter that names a formulation which decides thresholds."""

FormulationName = typing.Annotated[str, Names(contract=Formulation, lacks="is no formulation")]
"""Type of a parameter that names any formulation."""

LagrangianName = typing.Annotated[str, Names(contract=LagrangianFormulation, lacks="has no Lagrangian relaxation")]
"""Type of a parameter that names a formulation with a Lagrangian relaxation."""

ColumnName = typing.Annotated[str, Names(contract=ColumnFormulation, lacks="generates no columns")]
"""Type of a parameter that names a formulation which generates columns."""


def register_formulation(
    name: str,
    *,
    features: Iterable[Feature],
    summary: str,
    reference: str = "",
    purpose: str = "",
    compile_rank: int = 0,
    compiled_after: str = "",
) -> Callable[[T], T]:
    """Class decorator: register a frozen dataclass with a ``bound`` method (and ``decide``, if DECISION).

    The keywords are the attributes of `Entry`.
    """
    return _register(
        name,
        Kind.FORMULATION,
        features=frozenset(features),
        summary=summary,
        reference=reference,
        purpose=purpose,
        compile_rank=compile_rank,
        compiled_after=compiled_after,
    )


def register_strategy(
    name: str,
    *,
    features: Iterable[Feature],
    summary: str,
    reference: str = "",
    purpose: str = "",
    compile_rank: int = 0,
    compiled_after: str = "",
) -> Callable[[T], T]:
    """Class decorator: register a frozen dataclass with a ``run`` method; keywords as of `register_formulation`."""
    return _register(
        name,
        Kind.STRATEGY,
        features=frozenset(features),
        summary=summary,
        reference=reference,
        purpose=purpose,
        compile_rank=compile_rank,
        compiled_after=compiled_after,
    )


def register_portfolio(
    name: str, *, features: Iterable[Feature], summary: str, reference: str = ""
) -> Callable[[T], T]:
    """Class decorator: register a frozen dataclass with a ``members`` method."""
    return _register(name, Kind.PORTFOLIO, features=frozenset(features), summary=summary, reference=reference)


def _register(name: str, kind: Kind, **attributes: Any) -> Callable[[T], T]:
    def decorate(factory: T) -> T:
        registry.add(Entry(name=name, kind=kind, factory=factory, **attributes))
        return factory

    return decorate


_loaded: dict[str, str] = {}


def load_plugins() -> tuple[str, ...]:
    """Import every entry point of the plugin group once; return the faults.

    A plugin of somebody else that fails to import must not take the command down: `plugin_faults` tells of it.
    """
    for point in entry_points(PLUGIN_GROUP):
        key = f"{point.name} = {point.value}"
        if key in _loaded:
            continue
        _loaded[key] = ""
        try:
            _take_format(point.load())
        except (Exception, SystemExit) as error:
            package = f" of the package {point.package}" if point.package else ""
            place, what = _fault(error)
            where = f" ({place})" if place else ""
            _loaded[key] = f"the plugin {point.name!r}{package} failed to load: {what}{where}"
    return plugin_faults()


def _take_format(module: object) -> None:
    """Register the input format that a plugin's module holds, if it holds one."""
    found = getattr(module, "FORMAT", None)
    if isinstance(found, Format):
        register_format(found)


def plugin_faults() -> tuple[str, ...]:
    """Return a line for every plugin of an installed package that failed to load."""
    return tuple(fault for fault in _loaded.values() if fault)


def _fault(error: BaseException, file: str = "") -> tuple[str, str]:
    """Return the place of a fault while a plugin was imported, within `file` if that is on the way, and its words."""
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
        return place, f"{type(error).__name__}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    own = (__file__, InstalledEntryPoint.load.__code__.co_filename)
    outside = [frame for frame in frames if frame.filename not in own and "importlib" not in frame.filename]
    within = [frame for frame in outside if frame.filename == file] or outside
    place = f"{within[-1].filename}:{within[-1].lineno}" if within else ""
    words = " ".join(str(error).split())
    return place, words if isinstance(error, UserError) else f"{type(error).__name__}: {words}".removesuffix(": ")


def _file_of(entry: Entry) -> str:
    """Return the file of the module that registered an entry; empty where there is none."""
    file = getattr(sys.modules.get(entry.factory.__module__), "__file__", None)
    return "" if file is None else str(Path(file).resolve())


def loaded_files() -> tuple[str, ...]:
    """Return the files that were loaded as plugins by this process: others that it starts may need them as well."""
    return tuple(key for key in _loaded if os.path.isabs(key))


def files_of_callers() -> tuple[str, ...]:
    """Return the files of entries whose modules somebody imported: processes of members must load them as plugins."""
    known = {point.value.partition(".")[0] for point in entry_points(PLUGIN_GROUP)}
    known |= {"framework", "__main__"}
    modules = {entry.factory.__module__: entry for entry in registry.entries()}
    return tuple(
        file
        for name, entry in modules.items()
        if name.partition(".")[0] not in known and not name.startswith(_PLUGIN_PREFIX) and (file := _file_of(entry))
    )


def import_modules(package: str, path: Iterable[str]) -> None:
    """Import every module of a package, so that adding a file is all it takes to register an entry."""
    for module in pkgutil.iter_modules(path):
        importlib.import_module(f"{package}.{module.name}")


def load_plugin_file(path: str | Path) -> None:
    """Run one Python file that registers entries; loading the same file again does nothing.

    Raises
    ------
    UserError
        If the file is missing or fails while it runs.
    """
    path = Path(path).resolve()
    module_name = f"{_PLUGIN_PREFIX}{path.stem}_{abs(hash(str(path))):x}"
    if str(path) in _loaded or str(path) in {_file_of(entry) for entry in registry.entries()}:
        return
    if not path.is_file():
        raise UserError("no such file", where=str(path), hint="give Python files as `plugin_files`")
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise UserError("not a Python file", where=str(path))
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up while they are being defined.
    sys.modules[module_name] = module
    try:
        spec.loader.exec_module(module)
        _take_format(module)
    except (Exception, SystemExit) as error:
        del sys.modules[module_name]
        place, what = _fault(error, str(path))
        raise UserError(f"the plugin failed to load: {what}", where=place or str(path)) from error
    _loaded[str(path)] = ""

"""Arrangements: the same devices in different orders, or some of them only, and a bound over all of them.

Every arrangement is a problem of its own. The search solves them one after the other, those first whose balanced
partition is best. An arrangement is done with as soon as its dual bound reaches the best partition of all: none of its
partitions is better. So the smallest of the dual bounds bounds every arrangement, those included for which there was no
time, since each has its simple bound from the start.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import chain

from framework.errors import UserError
from framework.model.device import Device
from framework.model.device_chain import DeviceChain, chain_of
from framework.model.graph import ModelGraph
from framework.model.pricing import Quantised, quantise
from framework.model.problem import Problem, bottleneck, obeys
from framework.portfolio.constraints import Constraints, constrain
from framework.portfolio.result import Result
from framework.portfolio.settings import Session, Settings, Watch
from framework.portfolio.solve import solve
from framework.structure.primal.initial_interval import balanced_partition, simple_bound

MOST = 1_000
"""Arrangements that are looked into at most."""

MOST_DEVICES = 100
"""Devices that are arranged at most."""

LEAST_SECONDS = 1.0
"""What an arrangement is given at least, once it is begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangement:
    """Devices in an order, and what is known of it.

    Attributes
    ----------
    devices
        The device of every stage.
    bound
        No partition costs less, in the unit of the graph.
    in_ticks
        The same as ticks say it, which is more by their rounding at most: what arrangements are compared by.
    result
        What solving gave; None where the simple bound was enough, or no time was left.
    """

    devices: tuple[Device, ...]
    bound: float
    in_ticks: Fraction
    result: Result | None = None

    @property
    def name(self) -> str:
        """The devices, as on the command line."""
        return DeviceChain(devices=self.devices).name

    @property
    def found(self) -> Fraction | None:
        """The cost of the best partition, as ticks say it; None without one."""
        result = self.result
        if result is None or result.incumbent_ticks is None:
            return None
        return _in_unit(result.incumbent_ticks, result.rounding.ticks_per_unit)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrangements:
    """What a search found.

    Attributes
    ----------
    rows
        Every arrangement: those with a partition first, best first, then the others by their bounds.
    """

    rows: tuple[Arrangement, ...] = field(default=())

    @property
    def best(self) -> Result | None:
        """The result with the best partition; None where no arrangement has one."""
        return self.rows[0].result if self.rows[0].found is not None else None

    @property
    def lowest(self) -> Arrangement:
        """The arrangement with the lowest dual bound, which holds for all of them."""
        return min(self.rows, key=lambda row: row.in_ticks)

    @property
    def contradicted(self) -> bool:
        """Whether a dual bound stands above a verified partition: a bug."""
        return any(row.result is not None and bool(row.result.contradictions) for row in self.rows)

    @property
    def proven(self) -> bool:
        """Whether no arrangement has a better partition than the best one, as far as ticks tell."""
        found = self.rows[0].found
        return found is not None and self.lowest.in_ticks >= found


def orders_of(devices: Sequence[Device]) -> list[tuple[Device, ...]]:
    """Return all orders of devices, each once, the given one first.

    Raises
    ------
    UserError
        If there are more than `MOST`.
    """
    _check(devices)
    given = tuple(devices)
    others = (way for way in _permutations(given) if way != given)
    return _not_too_many(chain((given,), others))


def choices_of(devices: Sequence[Device], count: int, *, any_order: bool) -> list[tuple[Device, ...]]:
    """Return all ways to use so many of the devices, in their order or in any, each once.

    Raises
    ------
    UserError
        If there are more than `MOST`.
    """
    _check(devices)
    if not any_order:
        return _not_too_many(_subsequences(tuple(devices), count))
    # Where equal ones are neighbours, subsequences are the ways to choose some of each kind.
    place = {device: i for i, device in reversed(list(enumerate(devices)))}
    chosen = _subsequences(tuple(sorted(devices, key=lambda device: place[device])), count)
    return _not_too_many(way for some in chosen for way in _permutations(some))


def search(
    graph: ModelGraph,
    arrangements: Sequence[tuple[Device, ...]],
    *,
    settings: Settings,
    constraints: Constraints,
    session: Session,
    watch: Watch,
) -> Arrangements:
    """Solve the arrangements of devices within one budget, and bound all of them.

    Parameters
    ----------
    settings
        Its budget is for all arrangements together; its device is left aside.
    session
        Of every run; its interrupt ends the one under way and leaves out the others.

    Raises
    ------
    UserError
        As `solve`.
    """
    left = settings.budget - (0.0 if session.started is None else time.monotonic() - session.started)
    looks = [_first_look(graph, devices, constraints) for devices in arrangements]
    waiting = sorted(looks, key=lambda look: look.value)
    rows: list[Arrangement] = []
    best: Fraction | None = None
    while waiting:
        look = waiting.pop(0)
        late = bool(rows) and left < LEAST_SECONDS
        if late or session.interrupt.happened or (best is not None and look.row.in_ticks >= best):
            rows.append(look.row)
            continue
        budget = max(LEAST_SECONDS, left / (1 + len(waiting)))
        with watch(f"{graph.name} on {look.row.name}", len(look.row.devices)) as watcher:
            result = solve(
                graph,
                len(look.row.devices),
                settings=replace(settings, device=chain_of(look.row.devices), budget=budget),
                constraints=constraints,
                session=replace(
                    session,
                    started=None,
                    priced=look.priced,
                    cutoff=None if best is None else math.ceil(best * Fraction(look.scale)),
                    on_change=watcher,
                    on_compile=watcher.on_compile,
                ),
            )
        # What compilation takes is no part of any budget.
        left -= result.seconds
        rows.append(_solved(look, result))
        found = rows[-1].found
        best = best if found is None else found if best is None else min(best, found)
    return Arrangements(rows=tuple(sorted(rows, key=_rank)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """An arrangement before it is solved, with its simple bound, and what a balanced partition costs there."""

    row: Arrangement
    priced: Quantised
    value: Fraction

    @property
    def scale(self) -> float:
        return self.priced.rounding.ticks_per_unit


def _first_look(graph: ModelGraph, devices: tuple[Device, ...], constraints: Constraints) -> _Look:
    kinds, stages = chain_of(devices), len(devices)
    priced = quantise(graph, kinds)
    problem = Problem(instance=constrain(priced.instance, graph, constraints, stages, kinds), stages=stages)
    start = balanced_partition(problem)
    bound, scale = simple_bound(problem), priced.rounding.ticks_per_unit
    value = bottleneck(problem, start) if obeys(problem, start) else problem.instance.largest_cost
    row = Arrangement(devices=devices, bound=priced.rounding.lower(bound), in_ticks=_in_unit(bound, scale))
    return _Look(row=row, priced=priced, value=_in_unit(value, scale))


def _solved(look: _Look, result: Result) -> Arrangement:
    """Return the arrangement with its result, whose bound may be no better than the simple one."""
    row = replace(look.row, result=result)
    if result.dual_ticks is None or result.dual_bound is None:
        return row
    in_ticks = _in_unit(result.dual_ticks, look.scale)
    return replace(row, bound=max(row.bound, result.dual_bound), in_ticks=max(row.in_ticks, in_ticks))


def _rank(row: Arrangement) -> tuple[bool, Fraction, Fraction]:
    return row.found is None, row.found or Fraction(0), row.in_ticks


def _in_unit(ticks: int, scale: float) -> Fraction:
    return Fraction(ticks) / Fraction(scale)


def _permutations(devices: tuple[Device, ...]) -> Iterator[tuple[Device, ...]]:
    """Yield the different orders of devices of which some are equal."""
    if not devices:
        yield ()
    for first in dict.fromkeys(devices):
        place = devices.index(first)
        for rest in _permutations(devices[:place] + devices[place + 1 :]):
            yield (first, *rest)


def _subsequences(devices: tuple[Device, ...], count: int) -> Iterator[tuple[Device, ...]]:
    """Yield the different subsequences of a length: each begins with a kind where that comes first."""
    if not count:
        yield ()
    for first in dict.fromkeys(devices[: len(devices) - count + 1] if count else ()):
        place = devices.index(first)
        for rest in _subsequences(devices[place + 1 :], count - 1):
            yield (first, *rest)


def _check(devices: Sequence[Device]) -> None:
    """Refuse too many devices.

    Raises
    ------
    UserError
        For more than `MOST_DEVICES`.
    """
    if len(devices) > MOST_DEVICES:
        raise UserError(f"{len(devices)} devices are too many to arrange", hint=f"name at most {MOST_DEVICES}")


def _not_too_many(ways: Iterable[tuple[Device, ...]]) -> list[tuple[Device, ...]]:
    listed: list[tuple[Device, ...]] = []
    for way in ways:
        listed.append(way)
        if len(listed) > MOST:
            raise UserError(
                f"there are more than {MOST:,} arrangements of the devices", hint="name fewer, or fix their order"
            )
    return listed

"""Tolls: what a stage pays for fluid that it runs, and the first core nodes that need it are in another stage.

docs/proofs.md proves that no stage pays less than its tolls and nets made of what these leave of tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

from framework.proof.cores.core import Core
from framework.proof.cores.tables import Tables
from framework.proof.cores.walk import Tolls
from framework.proof.problem import PlainProblem, RefusedError


@dataclass(frozen=True, kw_only=True)
class Units:
    """Trees of fluid nodes whose tensors are in no net, as far as they pay the toll of their tree.

    Attributes
    ----------
    unit
        The unit of each fluid node, numbered as in `Core.fluid`, or -1.
    tolls
        On each kind of device, of each unit.
    spared
        On each kind of device, what of the cost of each tensor is in no net.
    common
        The tensors that are in no net at all, of one producer in the core and the same consumers.
    common_cost
        On each kind of device, what they cost.
    """

    unit: list[int]
    tolls: list[list[int]]
    spared: list[list[int]]
    common: list[int]
    common_cost: list[int]


def units_of(problem: PlainProblem, core: Core, units: Sequence[Sequence[int]], common: Sequence[int]) -> Units | None:
    """Return what some units pay; None without units.

    Parameters
    ----------
    units
        The nodes of each.
    common
        Producer and consumers of the common tensor; nothing without one.

    Raises
    ------
    RefusedError
        If there are no such units, or no such tensor.
    """
    if not units and not common:
        return None
    number, placed = {v: f for f, v in enumerate(core.fluid)}, set(core.nodes) - set(core.chained)
    unit, kinds = [-1] * len(core.fluid), problem.priced
    tolls, spared = [list[int]() for _ in kinds], [[0] * len(problem.tensors) for _ in kinds]
    for i, nodes in enumerate(units):
        heads = {v: problem.successors[v] for v in nodes if v in number and unit[number[v]] < 0}
        last = [v for v, row in heads.items() if not row.isdisjoint(placed)]
        if len(heads) < len(nodes) or len(last) != 1 or not heads[last[0]] <= placed:
            raise RefusedError("a unit has nodes that are not fluid, or no last one before the core")
        if any(len(row) != 1 or not row <= set(nodes) for v, row in heads.items() if v != last[0]):
            raise RefusedError("a node of a unit does not hand all to one other node of it")
        made = [t for v in nodes for t in problem.made_by[v]]
        for v in nodes:
            unit[number[v]] = i
        for kind, its, part in zip(kinds, tolls, spared, strict=True):
            its.append(min(kind.tensors[t].cost for t in made))
            for t in made:
                part[t] = its[i]
    ends = (common[0], frozenset(common[1:])) if common else None
    alike = [t for t, (_, *others) in enumerate(problem.tensors) if tuple(others) == ends]
    if common and (not alike or common[0] not in placed):
        raise RefusedError("there is no such common tensor")
    for kind, part in zip(kinds, spared, strict=True):
        for t in alike:
            part[t] = kind.tensors[t].cost
    cost = [sum(part[t] for t in alike) for part in spared]
    return Units(unit=unit, tolls=tolls, spared=spared, common=alike, common_cost=cost)


class Counted:
    """Tolls for one way of counting.

    Attributes
    ----------
    extra
        What each fluid node weighs more.
    rules
        What a walk has to know, on each kind of device.

    Parameters
    ----------
    speeds
        What work counts on each kind of device, and with it a toll.
    """

    def __init__(
        self, tables: Tables, units: Units | None, weights: Sequence[int], speeds: Sequence[int], *, by_unit: bool
    ) -> None:
        self.extra = [0] * len(weights)
        none = [0] * len(tables.members)
        self.rules = [Tolls(0, 0, False, [], [], none, none, none, 0, none, none, none) for _ in speeds]
        if units is None:
            return
        each = [[speed * toll for toll in row] for speed, row in zip(speeds, units.tolls, strict=True)]
        # On whatever device a stage runs, it pays as much.
        tolls = [min(row) for row in zip(*each, strict=True)]
        total, size = [0] * len(tolls), [0] * len(tolls)
        for i, weight in zip(units.unit, weights, strict=True):
            if i >= 0:
                total[i] += weight
                size[i] += 1
        paying = [i for i, toll in enumerate(tolls) if toll and total[i]]
        rates, most, freed, saved = [1] * len(speeds), 0, list[int](), list[int]()
        if by_unit:
            for f, i in enumerate(units.unit):
                if i >= 0 and total[i]:
                    self.extra[f] = tolls[i] * weights[f] // total[i]
            gain = {i: (max(0, tolls[i] - size[i]), total[i] - tolls[i]) for i in paying}
            cheap = sorted((i for i in paying if gain[i][1] > 0), key=lambda i: Fraction(*gain[i]))
            saved, freed = (list(accumulate(gain[i][part] for i in cheap)) for part in (0, 1))
        else:
            paying, rate, most = _chosen(paying, tolls, total)
            rates = [min([most // 2, *(row[i] for i in paying)]) for row in each] if rate else [0]
        if not rates[0]:
            return
        kept = set(paying)
        tolled = [w if i in kept else 0 for i, w in zip(units.unit, weights, strict=True)]
        free = [w - t for w, t in zip(weights, tolled, strict=True)]
        readers = set().union(*(tables.problem.tensors[t].consumers for t in units.common))
        fed = {i for i, v in zip(units.unit, tables.core.fluid, strict=True) if v in readers}
        feeds = [(x if i in fed else 0) for i, x in zip(units.unit, self.extra if by_unit else tolled, strict=True)]
        producers = {tables.problem.tensors[t].producer for t in units.common}
        beside = tables.must(self.extra)
        rules = Tolls(
            rate=rates[0],
            weight=most,
            by_unit=by_unit,
            freed=freed,
            saved=saved,
            owned=tables.must(tolled),
            most=beside if by_unit else tables.may(free),
            least=beside if by_unit else tables.must(free),
            common=units.common_cost[0],
            made=tables.over_nodes([v in producers for v in tables.core.nodes]),
            readers=tables.over_nodes([v in readers and v not in tables.core.chained for v in tables.core.nodes]),
            fed=tables.must(feeds),
        )
        paid = [speed * cost for speed, cost in zip(speeds, units.common_cost, strict=True)]
        self.rules = [rules._replace(rate=rate, common=cost) for rate, cost in zip(rates, paid, strict=True)]


def _chosen(paying: Sequence[int], tolls: Sequence[int], total: Sequence[int]) -> tuple[list[int], int, int]:
    """Return units that cost most for their weight, their least toll, and the most weight of one: twice 0 if none are.

    Any are right; these pay most if all of them move. A toll counts as at most half of the weight.
    """
    order = sorted(paying, key=lambda i: Fraction(-tolls[i], total[i]))
    best, kept, together, most, least = Fraction(0), (0, 0, 0), 0, 0, 1 << 62
    for count, i in enumerate(order, 1):
        most, least, together = max(most, total[i]), min(least, tolls[i]), together + total[i]
        rate = min(least, most // 2)
        if Fraction(rate * together, most) > best:
            best, kept = Fraction(rate * together, most), (count, rate, most)
    return order[: kept[0]], kept[1], kept[2]

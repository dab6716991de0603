"""Cost-based filtering: rules out states at a threshold, by the chain relaxation read forwards and backwards.

Take any partition of bottleneck at most T into k stages; let J_b be the core nodes of its first b stages and y_b the
weight of its fluid nodes there, out of X. In the forward pass, y_b is at most the value F_b(J_b) of
`framework.structure.fluid.chain_dp`. In the backward pass, the last k - b stages come first, and
X - y_b <= B_(k-b)(V - J_b). Both passes bound the same y_b in the same weights; separation costs may be counted in one
of them only. So J_b *survives*: both values exist, and

    F_b(J_b) + B_(k-b)(V - J_b) >= X.                                                                         (1)

If no ideal survives at some b, T is refuted. If no survivor, at any b, contains v but not u, then u is in no later
stage than v in any of these partitions: adding an arc u -> v of cost zero excludes none of them. Nodes with arcs in
both directions share a stage and are contracted. The resulting *filtered instance* has the same partitions of
bottleneck at most T, at the same costs, on far fewer nodes in a far narrower order. So the next core contains more of
its nodes, and refutes more. (If it has fewer nodes than there are stages, empty stages are left out, which keeps order
and costs.)

*Pruning the second pass.* In the second pass, (1) gives the least useful value of a state. A state counts at all later
boundaries and is not found again there, so its value must not be discarded at b if it is useful later: the limit at b
is the least that (1) requires at b or later. (The other limit, that the remaining nodes fit into the remaining stages,
only rises as these get fewer.) Stages of fluid nodes alone are not exchanged with others here, because the exchange
keeps some partition, but not all.

*Variants.* Each variant of the fluid weights, rounded or not, has its own values, and (1) holds for J_1, ..., J_(k-1)
in all of them. The values that bound y_b depend on no other ideals, so each variant is evaluated among the survivors of
those before.

*Windows.* If no survivor at b contains v, v is in none of the first b stages; if all do, v is in one of them. This
holds for all partitions of bottleneck at most T, hence for those of any instance made from this one by contraction or
by additional arcs. So later cores are evaluated among the ideals that obey these windows, as with variants.

*Different devices.* Both passes count the same weights of fluid, with each stage on its own device and shared
parameters once in each (`framework.structure.fluid.unequal_chain_dp`); nothing above compares stages with each other.

*After a reduction.* Dominated nodes are contracted as well (`framework.structure.reduction.dominance`), which keeps an
optimal partition, but not all. If the optimum is at most T, filtering keeps all optimal partitions and the reduction
keeps one. So each step leaves the optimum unchanged, and the steps for T can be followed by those for any lower
threshold.

Source: this project; known as variable fixing by reduced costs in mixed-integer programming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Windows
from framework.structure.bit_sets import BitArray, which_are_in
from framework.structure.filtering.tuning import DEFAULT, FilterTuning
from framework.structure.fluid.chain_dp import FluidSearch, Reached
from framework.structure.fluid.core import FluidCore, without_tolls
from framework.structure.fluid.kernels import NEVER
from framework.structure.fluid.reversal import read_backwards
from framework.structure.fluid.unequal_chain_dp import UnequalFluidSearch
from framework.structure.fluid.variants import Variant
from framework.structure.ideals.lattice import IdealLattice, SmallArray
from framework.structure.kernel import allocating_kernel
from framework.structure.poset.closure import BoolArray, Closure, pack_sets, unpack_sets
from framework.structure.poset.stage_windows import follow_order
from framework.structure.reduction.contraction import contract, with_arcs


class Sides(NamedTuple):
    """A core read forwards and backwards, and for each ideal of the former the number of its complement."""

    forwards: FluidSearch | UnequalFluidSearch
    backwards: FluidSearch | UnequalFluidSearch
    complement: IntArray


def read_both_ways(
    core: FluidCore,
    lattice: IdealLattice,
    crowded: BoolArray | None,
    should_stop: Callable[[], bool],
    whole: Sequence[Variant] = (),
    device: IntArray | None = None,
) -> Sides:
    """Return what decides on a core without chains in both directions, backwards without tolls.

    Parameters
    ----------
    crowded, whole
        What gives variants, see `framework.structure.fluid.chain_dp.FluidSearch`.
    device
        ``[stages]`` the kind of device of each, where `framework.structure.fluid.unequal_chain_dp` is needed: `whole`
        are all variants then.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first.
    """
    turned, mirror = read_backwards(without_tolls(core, should_stop), lattice, should_stop)
    n = core.order.n
    complements = pack_sets(~unpack_sets(lattice.bits, n)[:, ::-1])
    complement = np.empty(len(lattice), np.int64)
    complement[_sorted(complements)] = _sorted(mirror.bits)
    if device is not None:
        return Sides(
            forwards=UnequalFluidSearch(core, lattice, device, whole, crowded, should_stop=should_stop),
            backwards=UnequalFluidSearch(turned, mirror, device[::-1], whole, crowded, should_stop=should_stop),
            complement=complement,
        )
    return Sides(
        forwards=FluidSearch(core, lattice, crowded, whole, should_stop=should_stop),
        backwards=FluidSearch(turned, mirror, crowded, whole, should_stop=should_stop),
        complement=complement,
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Survivors:
    """What survives a threshold.

    Attributes
    ----------
    ideals
        ``[stages - 1]`` ideals of the forward lattice, ascending.
    variants
        Those that ruled out more than others did, in the order in which to read them at the next threshold.
    """

    ideals: list[IntArray]
    variants: tuple[Variant, ...]


def find_survivors(
    sides: Sides,
    stages: int,
    threshold: int,
    variants: Sequence[Variant],
    should_stop: Callable[[], bool],
    windows: Windows | None = None,
    tuning: FilterTuning = DEFAULT,
) -> Survivors | None:
    """Return the ideals that survive at the ends of the first 1, ..., ``stages - 1`` stages; None if it is refuted.

    Parameters
    ----------
    variants
        Which variants are read, in this order, all if empty.
    windows
        What is known of all partitions within the threshold already.
    tuning
        When one direction is given up for the other, and which variants are worth asking again.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first.
    """
    alive = None if windows is None else _in_windows(sides, stages, windows)
    left = len(sides.complement) * stages
    useful: list[Variant] = []
    # What was left of variants may be none that this core has: then all are read.
    every = sides.forwards.variants
    for variant in [variant for variant in variants if variant in every] or every:
        alive = _survivors(sides, stages, threshold, variant, alive, should_stop, first_trial=tuning.first_trial)
        if alive is None:
            return None
        before, left = left, sum(len(ideals) for ideals in alive)
        if left <= tuning.worthwhile_variant * before or not useful:
            useful.append(variant)
    assert alive is not None
    return Survivors(ideals=alive, variants=tuple(useful[::-1]))


def windows_of(
    core: FluidCore, lattice: IdealLattice, survivors: list[IntArray], known: Windows | None
) -> Windows | None:
    """Return where survivors leave each node, within the windows that are `known`; None if nowhere."""
    stages, n = len(survivors) + 1, core.instance.n
    earliest, latest = np.zeros(n, np.int64), np.full(n, stages - 1, np.int64)
    for b, ideals in enumerate(survivors, start=1):
        held = np.stack([reduce.reduce(lattice.bits[ideals], axis=0) for reduce in (np.bitwise_or, np.bitwise_and)])
        some, every = unpack_sets(held, core.order.n)
        earliest[core.nodes[~some]] = b
        latest[core.nodes[every]] = np.minimum(latest[core.nodes[every]], b - 1)
    if known is not None:
        np.maximum(earliest, known.earliest, out=earliest)
        np.minimum(latest, known.latest, out=latest)
    follow_order(core.instance.topology, earliest, latest)
    return Windows.unless_empty(earliest, latest)


def impose(
    instance: Instance,
    reach: Closure,
    core: FluidCore,
    lattice: IdealLattice,
    survivors: list[IntArray],
    should_stop: Callable[[], bool],
) -> Instance | None:
    """Return the instance in the order that survivors keep; nodes that share a stage in all of them are one.

    Its `node_of_input` maps the nodes of the given instance. None if that is its order already.

    Parameters
    ----------
    reach
        The closure of the instance.

    Raises
    ------
    OutOfTimeError
        If `should_stop` struck first.
    """
    n = core.order.n
    rows = np.unique(np.concatenate(survivors))
    member = unpack_sets(lattice.bits[rows], n)
    columns = pack_sets(np.ascontiguousarray(member.T))
    _, first, alike = np.unique(columns, axis=0, return_index=True, return_inverse=True)
    label = np.arange(instance.n, dtype=np.int64)
    label[core.nodes] = core.nodes[first[alike.reshape(-1)]]
    columns, nodes = columns[first], core.nodes[first]
    arcs = []
    for u in range(len(nodes)):
        if should_stop():
            raise OutOfTimeError("stopped while survivors were being compared")
        heads = nodes[_implied(columns, u)]
        heads = heads[~which_are_in(reach.descendants[nodes[u]], heads)]
        arcs.append(np.stack((np.full(len(heads), nodes[u], np.int64), heads)))
    tails, heads = np.concatenate(arcs, axis=1)
    if not len(tails) and len(nodes) == n:
        return None
    return contract(with_arcs(instance, tails, heads), label)


def _survivors(
    sides: Sides,
    stages: int,
    threshold: int,
    variant: Variant,
    alive: list[IntArray] | None,
    should_stop: Callable[[], bool],
    *,
    first_trial: int,
) -> list[IntArray] | None:
    """Return the survivors of one variant among `alive`; the direction that takes fewer steps comes first."""
    forwards, backwards, complement = sides
    total = forwards.fluid_weight(variant)
    there = np.argsort(complement)
    mirrored = None if alive is None else [np.sort(complement[ideals]) for ideals in reversed(alive)]
    most = first_trial
    while True:
        for search, other, opposite, among in (
            (forwards, backwards, there, alive),
            (backwards, forwards, complement, mirrored),
        ):
            floors = [] if among is None else _only(among, len(complement))
            try:
                first = search.reach(
                    stages, threshold, _within(search, most, should_stop), variant=variant, floors=floors
                )
            except OutOfTimeError:
                if should_stop():
                    raise
                continue
            if first is None:
                return None
            if among is not None:
                first = [_restricted(reached, ideals) for reached, ideals in zip(first, among, strict=True)]
            floors = _floors(first, opposite, total)
            second = other.reach(stages, threshold, should_stop, variant=variant, floors=floors)
            met = None if second is None else _meet(first, second, opposite, total)
            if met is None or other is forwards:
                return met
            return [np.sort(there[ideals]) for ideals in reversed(met)]
        most *= 4


def _within(
    search: FluidSearch | UnequalFluidSearch, steps: int, should_stop: Callable[[], bool]
) -> Callable[[], bool]:
    """Return what stops a search after so many more steps, or when `should_stop` does."""
    last = search.steps + steps
    return lambda: should_stop() or search.steps > last


def _in_windows(sides: Sides, stages: int, windows: Windows) -> list[IntArray]:
    """Return the ideals that keep to the windows, for each boundary."""
    core, lattice = sides.forwards.core, sides.forwards.lattice
    first, last = _boundaries(
        lattice.edge_ptr,
        lattice.edge_node,
        lattice.edge_ideal,
        windows.earliest[core.nodes],
        windows.latest[core.nodes],
        stages,
    )
    return [np.flatnonzero((first <= b) & (b <= last)) for b in range(1, stages)]


def _only(alive: list[IntArray], count: int) -> list[IntArray]:
    """Return floors that let pass what is alive at a boundary or at a later one."""
    floor = np.full(count, NEVER, np.int64)
    floors = []
    for ideals in reversed(alive):
        floor = floor.copy()
        floor[ideals] = 0
        floors.append(floor)
    return floors[::-1]


def _restricted(reached: Reached, alive: IntArray) -> Reached:
    """Return what is reached and alive."""
    kept = np.isin(reached.ideals, alive, assume_unique=True)
    return Reached(ideals=reached.ideals[kept], values=reached.values[kept])


def _floors(first: list[Reached], opposite: IntArray, total: int) -> list[IntArray]:
    """Return the least useful values of the other direction, from one boundary to the next never falling.

    Parameters
    ----------
    opposite
        ``[ideals]`` which ideal of the first direction is the complement of each one of the other.
    """
    floor = np.full(len(opposite), NEVER, np.int64)
    floors = []
    for ideals, values in first:
        here = np.full(len(opposite), NEVER, np.int64)
        here[ideals] = total - values
        floor = np.minimum(floor, here[opposite])
        floors.append(floor)
    return floors[::-1]


def _meet(first: list[Reached], second: list[Reached], opposite: IntArray, total: int) -> list[IntArray] | None:
    """Return the ideals of the second direction whose values in both directions meet; None where none do."""
    met = []
    for (ideals, values), (others, other_values) in zip(reversed(first), second, strict=True):
        here = np.full(len(opposite), -1, np.int64)
        here[ideals] = values
        known = here[opposite[others]]
        meeting = others[(known >= 0) & (known + other_values >= total)]
        if not len(meeting):
            return None
        met.append(meeting)
    return met


def _sorted(rows: BitArray) -> IntArray:
    """Return an order of rows, the same for equal sets of rows."""
    order: IntArray = np.lexsort(rows.T).astype(np.int64)
    return order


@allocating_kernel
def _boundaries(
    edge_ptr: IntArray,
    edge_node: SmallArray,
    edge_ideal: SmallArray,
    earliest: IntArray,
    latest: IntArray,
    stages: int,
) -> tuple[IntArray, IntArray]:
    """Return the first and the last boundary at which each ideal keeps to the windows of the core's nodes."""
    count = len(edge_ptr) - 1
    first = np.zeros(count, np.int64)
    last = np.full(count, stages, np.int64)
    for ideal in range(count):
        for e in range(edge_ptr[ideal], edge_ptr[ideal + 1]):
            first[edge_ideal[e]] = max(first[ideal], earliest[edge_node[e]] + 1)
    for ideal in range(count - 1, -1, -1):
        for e in range(edge_ptr[ideal], edge_ptr[ideal + 1]):
            last[ideal] = min(last[edge_ideal[e]], latest[edge_node[e]])
    return first, last


@allocating_kernel
def _implied(columns: BitArray, u: int) -> IntArray:
    """Return which other columns, as sets of rows, are part of column `u`."""
    n, words = columns.shape
    found = np.empty(n, np.int64)
    count = 0
    for v in range(n):
        if v == u:
            continue
        part = True
        for word in range(words):
            if columns[v, word] & ~columns[u, word]:
                part = False
                break
        if part:
            found[count] = v
            count += 1
    return found[:count]

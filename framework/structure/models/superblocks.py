"""The superblock model: the k stages in r groups of consecutive ones, as an integer linear model.

Variables: y[j, v] = "v is in one of the first j groups", for 0 < j < r; x[s, v] = y[s, v] - y[s-1, v] is then "v is in
group s". An edge u -> v gives y[j, v] <= y[j, u] (edges of the transitive reduction suffice). For a tensor t of u:

    done[j, t] <= y[j, v]  for each last consumer v          everybody who reads t is in the first j groups
    out[s, t] >= (y[s, u] - done[s, t]) - (y[s-1, u] - done[s-1, t])
    in[s, t]  >= x[s, v] - x[s, u]  for each consumer v

The difference y - done says whether t crosses a boundary. If u is in group s, t does not cross boundary s-1 and
``out`` is 1 exactly if it crosses boundary s; otherwise it can only cross less than before. In the last group
``in`` equals the crossing of the last boundary. A group of q stages pays

    work + in + out + overflow <= q T,    overflow >= parameters - q capacity.

A shared parameter counts among these once: held[s] >= x[s, v] for each of its users v.

Validity: take any partition with bottleneck at most T and put consecutive stages together. The q stages of a group cost
at most q T together; of their transfers only those inside the group disappear; and max(0, p(S) - q capacity) is at most
the sum of max(0, p(S_b) - capacity), as every parameter of the group is in one of its stages. So the partition is a
point of the model, whatever the groups; with groups of one stage each the model is exact. Windows
(`framework.structure.poset.stage_windows`) fix y where a threshold decides it.

Costs are coarsened (`framework.structure.models.superblocks_prices`). Where stages are unequal, groups are single
stages, and each row has the costs of its stage's own device.

Sources: Archer et al., ICML 2024 (exact and three-superblock models); any groups, the crossing form of ``out`` and
windows: this project.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from framework.errors import OutOfTimeError
from framework.model.arrays import IntArray
from framework.model.instance import Instance
from framework.model.problem import Partition, Windows
from framework.proof import lp
from framework.structure.models.superblocks_layout import Layout
from framework.structure.models.superblocks_prices import group_prices
from framework.structure.poset.closure import closure, transitive_reduction
from framework.structure.poset.last_consumers import last_consumers
from framework.structure.poset.stage_windows import StageWindows
from framework.structure.solvers.linear_model import ONE, OPEN, ZERO, LinearModel, ModelBuilder


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TransferCut:
    """Group `group` pays at least the sum of cost * (y[of] - y[minus]) for transfers, over pairs of (boundary, node).

    Attributes
    ----------
    of, of_boundary, minus, minus_boundary
        ``[terms]`` nodes and boundaries; boundary 0 is y = 0, the last one y = 1.
    tensor
        ``[terms]`` the tensor whose cost counts.
    """

    group: int
    of: IntArray
    of_boundary: IntArray
    minus: IntArray
    minus_boundary: IntArray
    tensor: IntArray


class SuperblockParts:
    """What all models of one instance share: direct edges, last consumers, windows.

    Raises
    ------
    OutOfTimeError
        If `should_stop` returns true while they are computed.
    """

    def __init__(self, instance: Instance, should_stop: Callable[[], bool] = lambda: False) -> None:
        self.instance = instance
        self.windows = StageWindows(instance, should_stop)
        self.tails, self.heads = transitive_reduction(instance)
        self.last = last_consumers(instance, closure(instance, should_stop=should_stop))


class SuperblockModel:
    """One model: minimise T, or allow a given T.

    Parameters
    ----------
    parts
        Of the instance.
    layout
        The groups.
    upper
        Ticks: the largest T of interest; every partition looked for costs at most this.
    minimise
        Whether T is a column to minimise, or fixed at `upper`.
    lower
        Ticks: a dual bound, for the column T.
    unit
        Ticks per coarse tick.
    windows
        Stages each node may be in under `upper`; None for all of them.
    prefix_work
        ``[k + 1]`` pairs of limits (ticks) on the work of the first stages, where something tighter than the
        limit of the groups is known.
    least_work_of
        Groups whose work is to be minimised; only with T fixed.
    transfer_cuts
        If given, transfers are not modelled: each group has a column for them that these cuts alone bound from below.

    Attributes
    ----------
    model
        The linear model.
    before
        ``[r + 1, n]`` column of y[j, v], or `ZERO` or `ONE`.
    unit
        As given.
    names
        ``[rows, 4]`` what `framework.proof.lp` calls the rows: the kind, and which one it is.
    """

    def __init__(
        self,
        parts: SuperblockParts,
        layout: Layout,
        *,
        upper: int,
        minimise: bool,
        lower: int = 0,
        unit: int = 1,
        windows: Windows | None = None,
        prefix_work: tuple[IntArray, IntArray] | None = None,
        least_work_of: tuple[int, ...] = (),
        transfer_cuts: Sequence[TransferCut] | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> None:
        if minimise and least_work_of:
            raise ValueError("either T or work is minimised")
        instance = parts.instance
        self.parts, self.layout, self.unit, self.upper = parts, layout, unit, upper // unit
        self._should_stop = should_stop
        if layout.joined is not None and (windows is not None or prefix_work is not None):
            raise ValueError("a layout with joined groups has no windows")
        if instance.unequal is not None and (prefix_work is not None or least_work_of or transfer_cuts is not None):
            raise ValueError("unequal stages have no common work and transfers")
        self._prices = group_prices(instance, layout.sizes, upper=self.upper, unit=unit)
        self._builder = ModelBuilder()
        self._bottleneck: IntArray | None = None
        objective: IntArray | None = None
        if minimise:
            self._bottleneck = self._builder.add_columns(
                1, lower=min(lower // unit, self.upper), upper=self.upper, weighed=True
            )
            objective = self._bottleneck
        self.before = self._add_nodes(windows)
        self._transfers: IntArray | None = None
        if transfer_cuts is None:
            self._done = self._add_done()
        else:
            self._transfers = self._add_cuts(transfer_cuts)
        self._add_limits()
        if prefix_work is not None:
            self._add_prefixes(*prefix_work)
        if least_work_of:
            objective = self._add_work(least_work_of)
        self.model: LinearModel = self._builder.build(None if objective is None else int(objective[0]))
        self.names = self._builder.names

    def groups(self, values: NDArray[np.float64]) -> IntArray:
        """Read the group of each node off a solution, ``[n]``."""
        padded = np.concatenate((values, [1.0, 0.0]))  # index -1 is ZERO, -2 is ONE
        return np.asarray((padded[self.before[1:-1]] < 0.5).sum(axis=0), np.int64)

    def partition(self, values: NDArray[np.float64]) -> Partition | None:
        """Read a partition off a solution, if every group is one stage."""
        if max(self.layout.sizes) > 1:
            return None
        return Partition(stage_of=self.groups(values))

    def _add_nodes(self, windows: Windows | None) -> IntArray:
        """Add y and the order of the groups and of the edges."""
        n, groups = self.parts.instance.n, len(self.layout.sizes)
        before = np.full((groups + 1, n), ZERO, np.int64)
        before[groups] = ONE
        for j, stage in enumerate(self.layout.boundaries(), start=1):
            free = np.ones(n, np.bool_)
            if windows is not None:
                before[j, windows.latest < stage] = ONE
                free = (windows.earliest < stage) & (windows.latest >= stage)
            before[j, free] = self._builder.add_columns(int(free.sum()), integer=True)
        for j in range(1, groups):
            if j > 1:
                self._builder.add_rows(
                    [(before[j - 1], 1), (before[j], -1)], upper=0, names=(lp.GROUPS, j - 1, np.arange(n))
                )
            u, v = self.parts.tails, self.parts.heads
            self._builder.add_rows([(before[j][v], 1), (before[j][u], -1)], upper=0, names=(lp.EDGE, j, u, v))
        return before

    def _add_done(self) -> IntArray:
        """Add done[j, t] and return its columns, ``[r + 1, m]``: y itself where a tensor has one last consumer."""
        top, groups = self.parts.instance.topology, len(self.layout.sizes)
        tensor = np.repeat(np.arange(top.m), np.diff(top.consumer_ptr))[self.parts.last]
        consumer = top.consumers[self.parts.last]
        done = np.full((groups + 1, top.m), ONE, np.int64)
        done[0] = ZERO
        paid = np.any([prices.tensor_cost > 0 for prices in self._prices], axis=0)
        for j in range(1, groups):
            self._check()
            column = self.before[j][consumer]
            blocked = np.zeros(top.m, np.bool_)
            blocked[tensor[column == ZERO]] = True
            free = column >= 0
            count = np.bincount(tensor[free], minlength=top.m)
            done[j, blocked] = ZERO
            single = free & ~blocked[tensor] & (count[tensor] == 1)
            done[j, tensor[single]] = column[single]
            several = paid & ~blocked & (count > 1)
            done[j, several] = self._builder.add_columns(int(several.sum()))
            pin = free & several[tensor]
            names = (lp.READ, j, tensor[pin], consumer[pin])
            self._builder.add_rows([(done[j][tensor[pin]], 1), (column[pin], -1)], upper=0, names=names)
        return done

    def _add_cuts(self, cuts: Sequence[TransferCut]) -> IntArray:
        """Add a column for the transfers of each group, and the cuts; return the columns."""
        most = (self.upper + 1) * sum(self.layout.sizes)
        columns = self._builder.add_columns(len(self.layout.sizes), upper=most, weighed=True)
        for cut in cuts:
            cost = self._prices[0].tensor_cost[cut.tensor]
            self._add_row(
                [
                    self.before[cut.of_boundary, cut.of],
                    self.before[cut.minus_boundary, cut.minus],
                    columns[[cut.group]],
                ],
                [cost, -cost, np.array([-1])],
                upper=0,
            )
        return columns

    def _group_terms(self, s: int) -> tuple[IntArray, IntArray]:
        """Return columns and factors of what group s pays without overflow."""
        self._check()
        top, before, prices = self.parts.instance.topology, self.before, self._prices[s]
        columns = [before[s + 1], before[s]]
        factors = [prices.work, -prices.work]
        if self._transfers is not None:
            return np.concatenate([*columns, self._transfers[s : s + 1]]), np.concatenate(
                [*factors, np.ones(1, np.int64)]
            )
        groups, tensors = len(self.layout.sizes), np.flatnonzero(prices.tensor_cost > 0)
        producer, cost = top.producer[tensors], prices.tensor_cost[tensors]
        if s < groups - 1:
            crossing = [(before[s + 1][producer], 1), (self._done[s + 1][tensors], -1)]
            if s > 0:
                out = self._builder.add_columns(len(tensors))
                earlier = [(before[s][producer], -1), (self._done[s][tensors], 1)]
                self._builder.add_rows([*crossing, *earlier, (out, -1)], upper=0, names=(lp.OUT, s, tensors))
                crossing = [(out, 1)]
            columns += [column for column, _ in crossing]
            factors += [sign * cost for _, sign in crossing]
        if s > 0:
            if s == groups - 1:
                columns += [before[s][producer], self._done[s][tensors]]
                factors += [cost, -cost]
            else:
                inward = np.full(top.m, ZERO, np.int64)
                inward[tensors] = self._builder.add_columns(len(tensors))
                tensor = np.repeat(np.arange(top.m), np.diff(top.consumer_ptr))
                pin = prices.tensor_cost[tensor] > 0
                u, v = top.producer[tensor[pin]], top.consumers[pin]
                here, away = [(before[s + 1][v], 1), (before[s][v], -1)], [(before[s + 1][u], -1), (before[s][u], 1)]
                names = (lp.IN, s, tensor[pin], v)
                self._builder.add_rows([*here, *away, (inward[tensor[pin]], -1)], upper=0, names=names)
                columns.append(inward[tensors])
                factors.append(cost)
        return np.concatenate(columns), np.concatenate(factors)

    def _add_limits(self) -> None:
        shared: tuple[int, ...] = self.layout.joined or ()
        others = [s for s in range(len(self.layout.sizes)) if s not in shared + self.layout.unlimited]
        for row in [*((s,) for s in others), *([shared] if shared else [])]:
            size = sum(self.layout.sizes[s] for s in row)
            terms = [self._group_terms(s) for s in row]
            columns = [column for column, _ in terms]
            factors = [factor for _, factor in terms]
            overflow = self._overflow(row, size)
            if overflow is not None:
                columns.append(overflow)
                factors.append(np.ones(1, np.int64))
            limit = size * self.upper
            if self._bottleneck is not None:
                columns.append(self._bottleneck)
                factors.append(np.array([-size]))
                limit = 0
            self._add_row(columns, factors, upper=limit, names=(lp.COST, row[0]))

    def _overflow(self, row: tuple[int, ...], size: int) -> IntArray | None:
        """Add the column and the row of what some groups pay for parameters, if they can pay any."""
        prices = self._prices[row[0]]
        total, held = int(prices.parameters.sum() + prices.shared_cost.sum()), size * prices.capacity
        if total <= held:
            return None
        column = self._builder.add_columns(1, upper=total - held, weighed=True)
        paid = np.flatnonzero(prices.shared_cost)
        self._add_row(
            [*(self.before[s + 1] for s in row), *(self.before[s] for s in row), self._add_held(row, paid), column],
            [
                *(prices.parameters for _ in row),
                *(-prices.parameters for _ in row),
                prices.shared_cost[paid],
                np.array([-1]),
            ],
            upper=held,
            names=(lp.HELD, row[0]),
        )
        return column

    def _add_held(self, row: tuple[int, ...], paid: IntArray) -> IntArray:
        """Add a column for each of some shared parameters: at least 1 where one of the groups has a user of it."""
        shared = self.parts.instance.shared
        columns = np.full(len(shared), ZERO, np.int64)
        columns[paid] = self._builder.add_columns(len(paid))
        users = np.isin(shared.pins, paid)
        user, held = shared.users[users], columns[shared.pins[users]]
        for s in row:
            terms = [(self.before[s + 1][user], 1), (self.before[s][user], -1), (held, -1)]
            self._builder.add_rows(terms, upper=0, names=(lp.USED, s, shared.pins[users], user))
        return columns[paid]

    def _add_prefixes(self, least: IntArray, most: IntArray) -> None:
        work = self._prices[0].work
        for j, stage in enumerate(self.layout.boundaries(), start=1):
            # Floors lower what a prefix and what a suffix weighs: the lower limit is one on the suffix.
            self._add_row([self.before[j]], [work], upper=int(most[stage]) // self.unit)
            rest = int(self.parts.instance.work.sum()) - int(least[stage])
            self._add_row([self.before[-1], self.before[j]], [work, -work], upper=rest // self.unit)

    def _add_work(self, groups: tuple[int, ...]) -> IntArray:
        """Add a column for the work of some groups and return it."""
        work = self._prices[0].work
        column = self._builder.add_columns(1, upper=int(work.sum()), weighed=True)
        self._add_row(
            [*(self.before[s + 1] for s in groups), *(self.before[s] for s in groups), column],
            [*(work for _ in groups), *(-work for _ in groups), np.array([-1])],
            upper=0,
        )
        return column

    def _add_row(
        self,
        columns: Sequence[IntArray],
        factors: Sequence[IntArray],
        *,
        upper: int,
        names: tuple[int, ...] = (),
    ) -> None:
        column, factor = np.concatenate(columns), np.concatenate(factors)
        self._builder.add_sparse_rows(
            np.zeros(len(column), np.int64),
            column,
            factor,
            lower=np.array([-OPEN]),
            upper=np.array([upper]),
            weighed=True,
            names=names,
        )

    def _check(self) -> None:
        if self._should_stop():
            raise OutOfTimeError("stopped while building the model")


def estimated_entries(instance: Instance, groups: int) -> int:
    """Return roughly how many matrix entries a model has."""
    top = instance.topology
    return groups * (4 * instance.n + 2 * top.edges + 8 * top.m + 5 * top.pins)

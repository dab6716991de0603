"""Costs corrected by what stages took: a regularised least squares on the logarithms of times.

A profile sees each operator beside whatever the other cores did then, not beside what they will do in a pipeline. What
a pipeline shows are sums: the busy seconds of a stage. With ``w_v`` the work of the profile, the model of stage S is

    busy(S) = mood * (sum over v in S of w_v exp(c + x_v)  +  exp(t) * link(S))

with one factor ``c`` for all work, one ``x_v`` for each node, one ``t`` for all transfers (and streamed parameters),
and a factor for the mood of the machine in each turn of measurements but the first. The fit minimises

    sum over stages of (log predicted - log measured)^2 / sigma^2
        + (sum of share_v x_v^2) / NODE^2 + c^2 / COMMON^2 + t^2 / LINK^2 + (sum of mood^2) / MOOD^2

where ``share_v`` is the node's share of all work. Why this, and not iterative scaling of the stages:

* Times err by factors and are positive: hence logarithms. A node with no work keeps none.
* To first order its solution has the form that iterative scaling gives, ``x_v`` a sum of one number for each measured
  stage that holds ``v``; but scaling cycles when measurements contradict each other, as noisy ones do, and a sum of
  squares weighs them by how well they are known.
* The penalty is that of white noise over the profile's time: it does not change when a node is divided in two, and
  the fewer nodes two splits differ by, the larger an error of these nodes it believes in. A stage of half the work errs
  by 14% of the common factor with one standard deviation, a node of 2% of the work by a factor of two.
* A transfer is corrected where splits with large and with small cuts tell it from work, and keeps its price where they
  do not: then ``t`` stays near 0.

Nodes that were together in every split so far are told apart by nothing and have one factor: the unknowns are these
cells, a few dozen, not the nodes. The penalty is strictly convex and keeps the Gauss-Newton steps well posed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from framework.model.arrays import IntArray
from framework.model.graph import FloatArray

NODE, COMMON, LINK, MOOD = 0.1, 0.5, 0.7, 0.1
"""Standard deviations of the logarithms of factors: of a node with all the work, of all work, transfers, moods."""

RESOLUTION = 0.01
"""No measured time is believed better than this, however often it was measured."""

CONTENTION = 0.1
"""How much less time a stage takes beside idle stages than beside busy ones; measurements of it count for less."""

NEGLIGIBLE = 0.01
"""A stage that is busy for less of the period than this shows what the runtime costs, not its nodes."""

_STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timing:
    """What the rounds of one split took.

    Attributes
    ----------
    periods
        ``[rounds]`` seconds from item to item.
    busy
        ``[rounds, k]`` seconds that each stage computes for an item; NaN where a stage is empty.
    """

    periods: FloatArray
    busy: FloatArray

    @property
    def period(self) -> float:
        """Median seconds from item to item."""
        return float(np.median(self.periods))

    @property
    def stage_seconds(self) -> FloatArray:
        """``[k]`` median busy seconds of each stage; NaN where it is empty."""
        return np.asarray(np.median(self.busy, axis=0), np.float64)

    def uncertainty(self) -> FloatArray:
        """Return ``[k]`` standard deviations of the logarithms of `stage_seconds`.

        The spread over the rounds says how well the median is known; that the other stages idled a part of the
        time, how little it says about a balanced split.
        """
        middle = self.stage_seconds
        low, high = np.quantile(self.busy, (0.25, 0.75), axis=0)
        spread = (high - low) / 1.349 / middle / np.sqrt(len(self.periods))
        loads = np.minimum(1.0, np.nan_to_num(middle / self.period))
        others = max(1, int(np.isfinite(middle).sum()) - 1)
        idle = 1.0 - (loads.sum() - loads) / others if np.isfinite(middle).sum() > 1 else 0.0 * loads
        return np.asarray(np.hypot(np.maximum(RESOLUTION, spread), CONTENTION * idle), np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observation:
    """One split, measured in one turn.

    Attributes
    ----------
    stage_of
        ``[n]`` stage of each node.
    link
        ``[k]`` seconds of transfers (and streamed parameters) of each stage, as priced before any correction.
    timing
        What it took.
    turn
        Number of the turn; splits of one turn were measured in the same minutes.
    """

    stage_of: IntArray
    link: FloatArray
    timing: Timing
    turn: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Correction:
    """Factors to the costs of a profile.

    Attributes
    ----------
    node
        ``[n]`` factor of each node's work.
    link
        Factor of all transfers.
    """

    node: FloatArray
    link: float


def fit(work: FloatArray, observations: Sequence[Observation]) -> Correction:
    """Return the factors that fit the observations best.

    Parameters
    ----------
    work
        ``[n]`` seconds of each node, before any correction.
    observations
        What was measured; none gives factors of 1.
    """
    if not observations or not work.any():
        return Correction(node=np.ones(len(work)), link=1.0)
    signatures = np.stack([observation.stage_of for observation in observations], axis=1)
    cells, cell_of = np.unique(signatures, axis=0, return_inverse=True)
    cell_of = cell_of.reshape(-1)
    base = np.bincount(cell_of, work, len(cells)).astype(np.float64)
    charged = base > 0
    system = _System(base[charged], cells[charged], observations)
    solution = system.solve()
    factor = np.full(len(cells), np.exp(solution[system.common]))
    factor[charged] *= np.exp(solution[: system.cells])
    return Correction(node=factor[cell_of], link=float(np.exp(solution[system.transfers])))


class _System:
    """Residuals of one fit; unknowns are the cells, the common factor, that of transfers, and the moods."""

    def __init__(self, base: FloatArray, cells: IntArray, observations: Sequence[Observation]) -> None:
        turns = sorted({observation.turn for observation in observations})
        self.cells, self.common, self.transfers = len(base), len(base), len(base) + 1
        unknowns = len(base) + 1 + len(turns)
        works, links, measured, weights, moods = [], [], [], [], []
        for column, observation in enumerate(observations):
            timing = observation.timing
            seconds, sigma = timing.stage_seconds, timing.uncertainty()
            held = base * (cells[:, column] == np.arange(len(seconds))[:, None])
            known = np.isfinite(seconds) & (held.sum(axis=1) > 0)
            known[known] &= seconds[known] > NEGLIGIBLE * timing.period
            works.append(held[known])
            links.append(observation.link[known])
            measured.append(np.log(seconds[known]))
            weights.append(1 / sigma[known])
            mood = np.zeros((int(known.sum()), unknowns))
            if turns.index(observation.turn):
                mood[:, self.transfers + turns.index(observation.turn)] = 1
            moods.append(mood)
        self._work, self._link = np.concatenate(works), np.concatenate(links)
        self._measured, self._weight = np.concatenate(measured), np.concatenate(weights)
        self._mood = np.concatenate(moods)
        self._prior = np.concatenate(
            [np.sqrt(base / base.sum()) / NODE, [1 / COMMON, 1 / LINK], np.full(len(turns) - 1, 1 / MOOD)]
        )

    def solve(self) -> FloatArray:
        """Return the unknowns: Gauss-Newton steps, each halved until it improves."""
        x = np.zeros(len(self._prior))
        residual, jacobian = self._linearised(x)
        for _ in range(_STEPS):
            step = np.linalg.solve(jacobian.T @ jacobian, -jacobian.T @ residual)
            value = float(residual @ residual)
            while np.abs(step).max() > 1e-10:
                trial_residual, trial_jacobian = self._linearised(x + step)
                if float(trial_residual @ trial_residual) < value:
                    break
                step = step / 2
            else:
                break
            x, residual, jacobian = x + step, trial_residual, trial_jacobian
        return x

    def _linearised(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        work = self._work * np.exp(x[self.common] + x[: self.cells])
        link = self._link * np.exp(x[self.transfers])
        total = work.sum(axis=1) + link
        jacobian = self._mood.copy()
        jacobian[:, : self.cells] = work / total[:, None]
        jacobian[:, self.common] = work.sum(axis=1) / total
        jacobian[:, self.transfers] = link / total
        fitted = np.log(total) + self._mood @ x - self._measured
        residual = np.concatenate([fitted * self._weight, self._prior * x])
        return residual, np.concatenate([jacobian * self._weight[:, None], np.diag(self._prior)])

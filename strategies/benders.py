"""`benders`: logic-based Benders decomposition: CP-SAT assigns stages, minimum cuts explain why a stage costs too much.

At a threshold T the master (CP-SAT) places nodes in stages so that edges point forwards and each stage has room for its
work, its parameters and a variable t_b for its transfers. Its solution is priced; a stage that costs more than T is
explained by a minimum cut (`framework.structure.flow.cut_explanations`): A in the stage, B before, C after it force a
transfer of F. The cut that is added to the master holds for every stage b:

    A in b, B before b, C after b   implies   t_b >= F.

Validity: explanations hold for every partition, so the master is a relaxation at any time, and where it has no
solution T is refuted. They do not depend on T, and are kept from one threshold to the next. Numbers are coarsened as
in `framework.structure.models.stages_cp`; if the coarse cut does not exclude the solution, the stage itself is
forbidden. Thus each solution of the master is a partition within T or is cut off, and the loop ends.

Where it wins: on wide random graphs its bounds are better than those of `simple` for every number of stages, and better
than those of `lp` from four stages on. Where not: the master rarely finds partitions better than the incumbent, and
strategies over `stage-cover` or `spreading-metric` prove bounds up to twice as high (docs/measurements.md).

Sources: Hooker and Ottosson, Math. Programming 2003 (logic-based Benders decomposition); min-cut explanations: this
project.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from framework.bounds import Outcome, Soundness
from framework.contracts import Context, Decision, Feature, Refuted, Satisfied, Undecided
from framework.errors import OutOfTimeError
from framework.model.problem import Partition, Problem, stage_costs
from framework.portfolio.context.destructive_bound import bound_by_deciding
from framework.registry import register_strategy
from framework.structure.primal.initial_interval import simple_bound
from framework.wording import counted

if TYPE_CHECKING:
    from framework.structure.flow.cut_explanations import Explainer, Explanation
    from framework.structure.models.benders_master import Master
    from framework.structure.models.superblocks import SuperblockParts

NAME = "benders"
RESOLUTION = 1e-4
"""Relative gap at which it ends: what was learnt makes further thresholds cheap."""


@register_strategy(
    NAME,
    features=[Feature.DUAL, Feature.PRIMAL, Feature.DECISION, Feature.ANYTIME, Feature.WARM_START],
    summary="Logic-based Benders decomposition: CP-SAT assigns nodes to stages, minimum cuts price transfers",
    reference="Hooker and Ottosson 2003; min-cut explanations: this project",
    purpose="studying logic-based decomposition: 0.788 of the best partition at k = 2, 0.328 at k = 32",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Benders:
    """Raise thresholds with one pool of explanations.

    Attributes
    ----------
    max_rounds
        Solutions of the master for one threshold at most.
    """

    max_rounds: int = 10_000

    def __post_init__(self) -> None:
        if self.max_rounds < 1:
            raise ValueError("max_rounds must be at least 1")

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Refute and satisfy thresholds until the interval is narrow or the context says stop."""
        decider = _Decider(max_rounds=self.max_rounds)
        outcome = bound_by_deciding(NAME, decider, problem, context, resolution=RESOLUTION)
        details = {**outcome.details, **decider.details}
        return Outcome(dual=outcome.dual, incumbent=outcome.incumbent, termination=outcome.termination, details=details)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Decide one threshold (ticks) from scratch."""
        return _Decider(max_rounds=self.max_rounds).decide(problem, threshold, context)


@dataclass(slots=True)
class _Decider:
    """Decides thresholds of one problem, learning as it goes."""

    max_rounds: int
    details: dict[str, Any] = field(default_factory=lambda: {"rounds": 0, "explanations": 0, "forbidden": 0})
    _parts: SuperblockParts | None = None
    _explainer: Explainer | None = None
    _pool: list[Explanation] = field(default_factory=list)

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        from framework.structure.models.benders_master import Master

        if threshold < simple_bound(problem):
            return Refuted(soundness=Soundness.EXACT)
        try:
            self._prepare(problem, context)
            assert self._parts is not None
            windows = self._parts.windows.at(problem.useful_stages, threshold)
            if windows is None:
                return Refuted(soundness=Soundness.EXACT)
            master = Master(self._parts, problem, threshold, windows, context.should_stop)
            for explanation in self._pool:
                master.learn(explanation)
            return self._loop(problem, threshold, context, master)
        except OutOfTimeError:
            return Undecided(reason="out of time")

    def _prepare(self, problem: Problem, context: Context) -> None:
        from framework.structure.flow.cut_explanations import Explainer
        from framework.structure.models.benders_master import work_parts

        if self._explainer is None:
            # Explainer and parts outlive this call: what stops them is asked through the latest context.
            self._parts = work_parts(problem.instance, context.should_stop)
            self._explainer = Explainer(problem.instance)

    def _loop(self, problem: Problem, threshold: int, context: Context, master: Master) -> Decision:
        from framework.structure.models.superblocks_solve import partition_of_groups

        for _ in range(self.max_rounds):
            if context.should_stop():
                return Undecided(reason="out of time")
            status, stage_of = master.solve(
                seconds=context.remaining(), threads=context.threads, seed=context.seed, should_stop=context.should_stop
            )
            self.details["rounds"] += 1
            if status == "INFEASIBLE":
                return Refuted(soundness=Soundness.SOLVER)
            if stage_of is None:
                return Undecided(reason="out of time")
            found = partition_of_groups(problem, stage_of, upper=threshold + 1)
            if found is not None:
                return Satisfied(partition=found)
            self._explain(problem, threshold, context, master, Partition(stage_of=stage_of))
        return Undecided(reason=f"not settled in {counted(self.max_rounds, 'round')}")

    def _explain(
        self, problem: Problem, threshold: int, context: Context, master: Master, partition: Partition
    ) -> None:
        """Teach the master something about each stage that costs too much.

        Raises
        ------
        OutOfTimeError
            If the context says stop before anything was taught.
        """
        costs = stage_costs(problem, partition)
        rooms = threshold - costs.work - costs.overflow
        assert self._explainer is not None
        for stage, total in enumerate(costs.total.tolist()):
            if total <= threshold:
                continue
            if context.should_stop():
                raise OutOfTimeError("stopped between explanations")
            explanation = self._explainer.explain(partition.stage_of, stage, int(rooms[stage]))
            if master.has_room(partition.stage_of, stage, explanation.transfer):
                master.forbid(partition.stage_of, stage)
                self.details["forbidden"] += 1
            else:
                master.learn(explanation)
                self._pool.append(explanation)
                self.details["explanations"] += 1

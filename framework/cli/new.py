"""`pipebound new`: a working file to start an entry of your own from."""

from __future__ import annotations

import keyword
from enum import StrEnum
from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from framework.errors import UserError

FORMULATION = '''"""`{name}`: no stage can avoid the heaviest nodes.

Validity: take the k q + 1 nodes with the most work, where k is the number of stages. By the pigeonhole principle some
stage holds at least q + 1 of them, and costs at least the work of the q + 1 lightest among them. With q = 0 that is
the heaviest node. All arithmetic is on integers. Replace this by a proof of your own: it is what the bound rests on.

Source: folklore.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.bounds import DualBound, Outcome, Reason, Soundness, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_formulation

NAME = "{name}"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.ANYTIME],
    summary="The lightest of the heaviest nodes that must share a stage",
    reference="folklore",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class {class_name}:
    """Bound by the pigeonhole principle.

    Attributes
    ----------
    depth
        Largest q to try: a stage that holds up to q + 1 of the heaviest nodes.
    """

    depth: int = 100

    def __post_init__(self) -> None:
        if self.depth < 0:
            raise ValueError("depth must be at least 0")

    def bound(self, problem: Problem, context: Context) -> Outcome:
        """Report each q that raises the bound."""
        k = problem.useful_stages
        heaviest = sorted(problem.instance.work.tolist(), reverse=True)
        best = -1
        for q in range(self.depth + 1):
            if k * q + 1 > len(heaviest) or context.should_stop():
                break
            value = sum(heaviest[k * q - q : k * q + 1])
            if value > best:
                best = value
                context.report_dual(value, Soundness.EXACT)
        dual = None if best < 0 else DualBound(value=best, source=NAME, soundness=Soundness.EXACT)
        return Outcome(dual=dual, termination=Termination(reason=Reason.FINISHED))
'''

DECISION = '''"""`{name}`: more heavy nodes than stages.

Validity: let T be a threshold. Two nodes of which each has more than half of T as work share no stage of cost at most
T. If there are more of them than stages, some stage would hold two (pigeonhole principle): no partition has a
bottleneck of at most T, and the optimum is at least T + 1. All arithmetic is on integers. Replace this by a proof of
your own: it is what the bound rests on.

Source: folklore.
"""

from __future__ import annotations

from dataclasses import dataclass

from framework.bounds import Soundness
from framework.contracts import Context, Decision, Feature, Refuted, Undecided
from framework.model.problem import Problem
from framework.portfolio.context.destructive_bound import BoundByDeciding
from framework.registry import register_formulation

NAME = "{name}"


@register_formulation(
    NAME,
    features=[Feature.DUAL, Feature.DECISION, Feature.ANYTIME, Feature.WARM_START],
    summary="At a threshold, nodes of which no two share a stage: more than k of them refute it",
    reference="folklore",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class {class_name}(BoundByDeciding):
    """Decide one threshold; what it inherits raises the threshold, and makes bounds of what is refuted.

    Attributes
    ----------
    contract
        Whether thresholds are decided on the instance contracted at them.
    """

    contract: bool = True

    def decide(self, problem: Problem, threshold: int, context: Context) -> Decision:
        """Refute a threshold (ticks), or leave it undecided."""
        heavy = int((2 * problem.instance.work > threshold).sum())
        if heavy > problem.useful_stages:
            return Refuted(soundness=Soundness.EXACT)
        return Undecided(reason=f"{{heavy}} heavy nodes fit into {{problem.useful_stages}} stages")
'''


class Kind(StrEnum):
    """What can be begun."""

    FORMULATION = "formulation"
    DECISION = "decision"


TEMPLATES = {Kind.FORMULATION: FORMULATION, Kind.DECISION: DECISION}


def command(
    kind: Annotated[Kind, typer.Argument(help="What to begin.", show_default=False)],
    name: Annotated[str, typer.Argument(help="Its name: a-z, 0-9 and hyphens.", show_default=False)],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; default: NAME.py here.")] = None,
) -> None:
    """Write a file with a formulation that works: replace its proof, its parameter and its bound by your own.

    A `formulation` proves bounds, a `decision` refutes thresholds and gets its bounds from that. Either passes
    `pipebound check NAME --plugin NAME.py` as it is.
    """
    from framework.registry import load_plugins, registry
    from framework.report.escape import terminal

    if not name.replace("-", "").isalnum() or name != name.lower() or not name.isascii() or not name[0].isalpha():
        raise UserError(f"{name!r} is no name", hint="use a-z, 0-9 and hyphens, a letter first")
    load_plugins()
    if any(entry.name == name for entry in registry.entries()):
        raise UserError(f"the name {name!r} is taken", hint="see `pipebound list`")
    path = output if output is not None else Path(f"{name.replace('-', '_')}.py")
    class_name = "".join(part.capitalize() for part in name.split("-"))
    if keyword.iskeyword(class_name):
        class_name += "Bound"
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATES[kind].format(name=name, class_name=class_name))
    except FileExistsError:
        raise UserError("there is a file already", where=str(path), hint="choose another name or --output") from None
    except OSError as error:
        raise UserError(str(error.strerror), where=str(path)) from error
    typer.echo(terminal(f"wrote {path}; now: pipebound check {name} --plugin {quote(str(path))}"))

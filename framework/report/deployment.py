"""Deployment for the terminal: splits, profiles, pipelines, recommendations, orders of devices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import numpy as np

from framework.deploy.split.manifest import GRAPH, Manifest
from framework.deploy.tuning.arrangements import Arrangement, Arrangements
from framework.deploy.tuning.profile import Profile
from framework.deploy.tuning.recommend import Recommendation
from framework.deploy.tuning.refine import Refinement
from framework.deploy.tuning.search import EXPLORING
from framework.deploy.tuning.trial import SPLIT, Trial
from framework.model.graph import FloatArray
from framework.model.memory import StageMemory
from framework.report.console import Console, open_console
from framework.report.layout import FactTable
from framework.report.numbers import percent, quantity, scaled_unit
from framework.report.tables import notes, with_latency
from framework.wording import counted

if TYPE_CHECKING:
    from framework.deploy.torch.profile import TorchProfile

SLOWEST = 8
_MOST_ORDERS = 20


def megabytes(nbytes: float | None) -> str:
    """Write a size in MB."""
    return "-" if nbytes is None else f"{quantity(nbytes / 1e6, 4)}"


def print_split(manifest: Manifest) -> None:
    """Print the files of a split and the tensors between its stages."""
    console = open_console()
    table = FactTable(f"stages of {manifest.model_path.name} in {manifest.folder}, sizes in MB")
    table.numbers("stage")
    table.texts("file")
    table.numbers("nodes", "weights", "inputs", "outputs", "sent")
    for row in manifest.stages:
        sent = [tensor for tensor in manifest.tensors if tensor["from"] == row["stage"]]
        unknown = any(tensor["bytes"] is None for tensor in sent)
        table.row(
            str(row["stage"]),
            row["file"] + (f" + {row['weights_file']}" if row["weights_file"] else ""),
            str(len(row["nodes"])),
            megabytes(row["weight_bytes"]),
            str(len(row["inputs"])),
            str(len(row["outputs"])),
            "-" if unknown else megabytes(sum(tensor["bytes"] * len(tensor["to"]) for tensor in sent)),
        )
    console.print(table)
    if memory := (manifest.document["predicted"] or {}).get("stage_memory"):
        _print_memory(console, [(row["stage"], memory[row["stage"]]) for row in manifest.stages])
    shared = manifest.document["shared_weights"]
    if shared:
        copies = sum(row["bytes"] * (len(row["stages"]) - 1) for row in shared)
        console.print(
            f"{counted(len(shared), 'weight is', 'weights are')} in several stages "
            f"({megabytes(copies)} MB more than the model)."
        )
    for remark in manifest.document["remarks"]:
        console.print(f"note: {remark}", style="yellow")


def _print_memory(console: Console, rows: Sequence[tuple[int, Mapping[str, int]]]) -> None:
    """Print what stages hold at once: pairs of a stage and its row of a manifest."""
    table = FactTable("what they hold while they run, sizes in MB")
    table.numbers("stage", "parameters", "state", "working set", "holds", "live tensors", "peak")
    for stage, row in rows:
        memory = StageMemory(**row)
        columns = (memory.parameters, memory.state, memory.workset, memory.resident, memory.peak_live, memory.peak)
        table.row(str(stage), *(megabytes(nbytes) for nbytes in columns))
    console.print(table)


def print_profile(profile: Profile | TorchProfile, path: Path) -> None:
    """Print latency, spread and the operators that take longest, and how to solve the graph."""
    console = open_console()
    low, middle, high = (1e3 * value for value in profile.latency)
    beside = f" beside {counted(profile.neighbours, 'busy neighbour')}" if profile.neighbours else ""
    if isinstance(profile, Profile):
        what, where, options = f"an inference on one thread{beside}", "share this machine's memory", " --keep-fused"
    else:
        seconds = "of a core for " if profile.clock == "cpu" else ""
        passes = "forwards and backwards" if profile.backward else "an inference"
        what, where, options = f"{seconds}{passes} on one thread{beside}", "talk through gloo on this machine", ""
    beyond = f", {quantity(1e3 * profile.overhead, 4)} ms between them" if profile.overhead > 0 else ""
    console.print(
        f"{profile.graph.name}: {quantity(middle, 4)} ms {what}, quartiles "
        f"{quantity(low, 4)} and {quantity(high, 4)} (spread {percent(profile.spread)}), "
        f"{counted(profile.repetitions, 'run')} after {profile.warm_up}; {quantity(1e3 * profile.kernels, 4)} ms in "
        f"{counted(len(profile.operators), 'operator')}{beyond}.",
    )
    table = FactTable("slowest operators")
    table.texts("operator")
    table.numbers("median [ms]", "spread", "of all")
    table.texts("nodes of the model behind it")
    rows = sorted(profile.operators, key=lambda row: -row["quartiles"][1])
    for row in rows[:SLOWEST]:
        first, median, third = row["quartiles"]
        names = row["nodes"]
        table.row(
            row["op"],
            quantity(1e3 * median, 4),
            percent((third - first) / median if median else 0.0),
            percent(median / profile.kernels if profile.kernels else 0.0),
            ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else ""),
        )
    console.print(table)
    for remark in profile.remarks:
        console.print(f"note: {remark}", style="yellow")
    link = f"{profile.link_bandwidth / 1e9:.2g}GB/s and {quantity(1e6 * profile.link_latency)} us a tensor"
    console.print(f"Written to {path}, with {link} between stages that {where}. To solve it:")
    command = f"pipebound solve {quote(str(path))} -k 2{options} -o result.json"
    console.print(f"  {command}", soft_wrap=True)


def print_trial(trial: Trial) -> None:
    """Print one row for each way to run the model, and what follows."""
    console = open_console()
    rounds = f"{counted(trial.rounds, 'round')} of up to {counted(trial.items, 'item')}"
    table = FactTable(f"{trial.model}, {counted(trial.stages, 'stage')}: {rounds}; times in ms")
    table.texts("")
    table.numbers("items/s", "speed-up", "an item", "quartiles", "best", "predicted")
    table.texts("in each stage")
    unsplit = trial.rows[1]
    for row in trial.rows:
        low, high = row.quartiles
        table.row(
            row.name + (f" (= {row.same_as})" if row.same_as else ""),
            quantity(row.throughput, 4),
            f"{unsplit.period / row.period:.2f}x",
            quantity(1e3 * row.period, 4),
            f"{quantity(1e3 * low, 4)} {quantity(1e3 * high, 4)}",
            quantity(1e3 * row.fastest, 4),
            quantity(None if row.predicted is None else 1e3 * row.predicted, 4),
            " ".join(quantity(1e3 * busy, 4) for busy in row.busy),
            style="bold" if row.name == SPLIT else "",
        )
    console.print(table)
    style = "green" if trial.equal else "bold red"
    equal = "equal" if trial.equal else "DIFFER FROM"
    shown = trial.verdict.difference
    console.print(
        f"Results {equal} those of the unsplit model: largest difference {shown.worst:.1e} "
        f"(up to {shown.allowed:.2g}).",
        style=style,
    )
    if trial.split.predicted is not None:
        console.print(
            f"Predicted bottleneck {quantity(1e3 * trial.split.predicted, 4)} ms, measured "
            f"{quantity(1e3 * trial.split.period, 4)} ms: {trial.split.predicted / trial.split.period:.2f} of it. The "
            f"slowest stage was busy for {quantity(1e3 * max(trial.split.busy), 4)} ms: "
            f"{trial.split.predicted / max(trial.split.busy):.2f} of that.",
        )
    best = trial.best_naive
    if best is not None:
        console.print(
            f"{best.period / trial.split.period:.3f} times the throughput of the best naive split ({best.name}).",
        )
    for remark in trial.remarks:
        console.print(f"note: {remark}", style="yellow")


def print_refinement(refinement: Refinement) -> None:
    """Print one row for each split that was tried, and which won."""
    console = open_console()
    outcome = refinement.outcome
    sizes = f"{counted(refinement.stages, 'stage')}, batches of up to {counted(refinement.items, 'item')}"
    table = FactTable(f"{refinement.model}, {sizes}; times in ms")
    table.texts("split")
    table.numbers("profile", "corrected", "an item", "quartiles", "over naive")
    table.texts("in each stage")
    for candidate in outcome.candidates:
        timing, ratio = candidate.timing, refinement.over_best_naive(candidate)
        quartiles = [] if timing is None else np.quantile(timing.periods, (0.25, 0.75)).tolist()
        table.row(
            candidate.name + "".join(f" (= {name})" for name in candidate.aliases) + " *" * candidate.finalist,
            quantity(1e3 * candidate.predicted, 4),
            quantity(1e3 * candidate.corrected, 4),
            quantity(None if timing is None else 1e3 * timing.period, 4),
            " ".join(quantity(1e3 * value, 4) for value in quartiles),
            "-" if ratio is None else f"{ratio:.3f}",
            "" if timing is None else " ".join(quantity(1e3 * value, 4) for value in _ran(timing.stage_seconds)),
            style="bold" if candidate is outcome.winner else "",
        )
    console.print(table)
    raced = next((len(c.timing.periods) for c in outcome.candidates if c.finalist and c.timing), 0)
    if raced:
        console.print(f"* in the last race of {counted(raced, 'round')}; the others ran {EXPLORING} rounds.")
    for remark in refinement.remarks:
        console.print(f"note: {remark}", style="yellow")
    if outcome.winner is None or refinement.manifest is None:
        console.print("Interrupted before any split was measured; nothing was written.", style="bold red")
        return
    end = "nothing more to try" if outcome.converged else "stopped there"
    console.print(f"Solved {counted(outcome.solves, 'time')} with corrected costs; {end}.")
    console.print(f"The winner: {outcome.winner.name}, {outcome.why}.", style="green")
    folder = refinement.manifest.folder
    console.print(f"Written to {folder}. To run it, and to solve with the corrected costs:")
    console.print(f"  pipebound pipeline {quote(str(folder))}", highlight=False, soft_wrap=True)
    # The graph states the corrected bandwidth and latency itself.
    console.print(f"  pipebound solve {quote(str(folder / GRAPH))} -k {refinement.stages}", soft_wrap=True)


def _ran(seconds: FloatArray) -> list[float]:
    """Return the times of the stages that are not empty."""
    return [float(value) for value in seconds if np.isfinite(value)]


def print_recommendation(answer: Recommendation, console: Console | None = None) -> None:
    """Print what was left out, the table by number of stages, the knee and the advice."""
    console = console or open_console()
    for why in answer.left_out.values():
        console.print(why)
    unit, factor = scaled_unit(answer.unit, answer.choices[0].bottleneck)
    device = answer.results[0].device
    latency = "" if device is None else with_latency(device)
    link = f", device {device.name}{latency}" if device is not None and latency else ""
    table = FactTable(f"{answer.name}: {counted(answer.nodes, 'node')}{link}, values in {unit}")
    table.numbers("k", "bottleneck", "bound", "gap", "speed-up", "at most", "per stage", "latency")
    table.texts("status")
    chosen = any(choice.devices for choice in answer.choices)
    if chosen:
        table.texts("devices")
    for choice in answer.choices:
        knee = choice is answer.knee
        table.row(
            str(choice.stages),
            quantity(choice.bottleneck * factor),
            quantity(choice.bound * factor),
            percent(choice.gap),
            f"{choice.speedup:.2f}x",
            f"{choice.most:.2f}x",
            percent(choice.efficiency),
            quantity(choice.latency * factor),
            choice.status.replace("_", " ") + (" <- knee" if knee else ""),
            *([choice.devices] if chosen else []),
            style="bold" if knee else "",
        )
    console.print(table)
    console.print(
        f"The knee: {counted(answer.knee.stages, 'stage gives', 'stages give')} "
        f"{answer.knee.speedup:.2f}x, at least 95% of the best above.",
    )
    console.print(f"Is it worth optimising further? {answer.advice}")
    for line in notes(answer.results):
        console.print(line, style="yellow")


def arrangements_document(found: Arrangements) -> dict[str, Any]:
    """Return JSON-compatible data: the best result, and every arrangement with its bound."""
    return {
        "best": None if found.best is None else found.best.as_dict(),
        "bound": found.lowest.bound,
        "proven": found.proven,
        "arrangements": [
            {
                "devices": [device.name for device in row.devices],
                "bound": row.bound,
                "incumbent": None if row.result is None else row.result.incumbent,
                "status": _row_status(row),
            }
            for row in found.rows
        ],
    }


def print_arrangements(found: Arrangements) -> None:
    """Print the arrangements, the best ones if there are many, and one sentence on all of them."""
    console = open_console()
    first = found.rows[0]
    unit, factor = scaled_unit("s", first.bound)
    table = FactTable(f"orders of the devices, in {unit}")
    table.texts("devices")
    table.numbers("bottleneck", "dual bound")
    table.texts("status")
    for row in found.rows[:_MOST_ORDERS]:
        incumbent = None if row.result is None else row.result.incumbent
        value = quantity(None if incumbent is None else incumbent * factor)
        table.row(row.name, value, quantity(row.bound * factor), _row_status(row), style="bold" if row is first else "")
    if len(found.rows) > _MOST_ORDERS:
        table.caption = f"and {counted(len(found.rows) - _MOST_ORDERS, 'order')} more (--json lists all)"
    console.print(table)
    console.print(_orders_verdict(found, factor, unit))


def _row_status(row: Arrangement) -> str:
    if row.result is None:
        return "not solved: its bound is enough, or no time was left"
    return row.result.status.replace("_", " ")


def _orders_verdict(found: Arrangements, factor: float, unit: str) -> str:
    first, orders = found.rows[0], counted(len(found.rows), "order")
    cost = first.found
    if cost is None:
        return f"No order has a partition; none gets below {quantity(found.lowest.bound * factor)} {unit}."
    if found.proven:
        return f"Proven: of {orders}, none has a partition better than the best on {first.name}."
    gap = percent(float(1 - found.lowest.in_ticks / cost))
    return (
        f"No order gets below {quantity(found.lowest.bound * factor)} {unit}: at most {gap} can be gained by another."
    )

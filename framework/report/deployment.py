"""Deployment for the terminal: splits, profiles, pipelines, recommendations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from framework.deploy.manifest import Manifest
from framework.report.numbers import quantity


@contextmanager
def status_line(title: str, *, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what is being done while it lasts, on a terminal; nothing in a pipe."""
    console = Console(stderr=True, quiet=quiet)
    with console.status(title) as status:
        yield lambda text: status.update(f"{title}: {text}")


def megabytes(nbytes: float | None) -> str:
    """Write a size in MB."""
    return "-" if nbytes is None else f"{quantity(nbytes / 1e6, 4)}"


def print_split(manifest: Manifest) -> None:
    """Print the files of a split and the tensors between its stages."""
    console = Console()
    table = Table(title=f"stages of {manifest.model_path.name} in {manifest.folder}", title_justify="left")
    for heading in ("stage", "file"):
        table.add_column(heading)
    for heading in ("nodes", "weights \\[MB]", "tensors in", "tensors out", "sent \\[MB]"):
        table.add_column(heading, justify="right")
    for row in manifest.stages:
        sent = [tensor for tensor in manifest.tensors if tensor["from"] == row["stage"]]
        unknown = any(tensor["bytes"] is None for tensor in sent)
        table.add_row(
            str(row["stage"]),
            row["file"] + (f" + {row['weights_file']}" if row["weights_file"] else ""),
            str(len(row["nodes"])),
            megabytes(row["weight_bytes"]),
            str(len(row["inputs"])),
            str(len(row["outputs"])),
            "-" if unknown else megabytes(sum(tensor["bytes"] * len(tensor["to"]) for tensor in sent)),
        )
    console.print(table)
    shared = manifest.document["shared_weights"]
    if shared:
        copies = sum(row["bytes"] * (len(row["stages"]) - 1) for row in shared)
        console.print(f"{len(shared)} weights are in several stages ({megabytes(copies)} MB more than the model).")
    for remark in manifest.document["remarks"]:
        console.print(f"note: {remark}", style="yellow", highlight=False)

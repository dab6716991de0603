"""The stages of a split run one after the other in this process, onnxruntime's rewriting off."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from framework.deploy.onnx_model import ModelFile, open_model
from framework.deploy.runnable import Runnable, runnable
from framework.deploy.runtime import Feed, Optimization, can_hand_over, open_session, run_session
from framework.deploy.split.manifest import Manifest
from framework.errors import UserError


def run_in_order(manifest: Manifest, feed: Feed, *, seeded: bool = False) -> dict[str, NDArray[Any]]:
    """Return all values that stages hand over, the results of the model and its inputs.

    Parameters
    ----------
    seeded
        Whether sources of random numbers get seeds, those that `run_plain` gives them.

    Raises
    ------
    UserError
        If a stage fails, or hands over what is no tensor of plain numbers.
    """
    values: dict[str, NDArray[Any]] = dict(feed)
    for row in manifest.stages:
        path = manifest.folder / row["file"]
        model = runnable(open_model(path), seeded=True) if seeded else Runnable(path=path)
        session = open_session(model, optimization=Optimization.NONE)
        for entry in session.get_outputs():
            if not can_hand_over(entry.type):
                raise UserError(
                    f"{entry.name!r} ({entry.type}) is no tensor of plain numbers",
                    where=str(path),
                    hint="processes hand over only those; cut elsewhere, with `same_stage`",
                )
        outputs = run_session(session, {name: values[name] for name in row["inputs"]}, str(path))
        values |= dict(zip([entry.name for entry in session.get_outputs()], outputs, strict=True))
    return values


def run_plain(model: ModelFile, feed: Feed, *, seeded: bool = False) -> list[tuple[str, NDArray[Any]]]:
    """Return the results of the unsplit model, onnxruntime's rewriting off."""
    session = open_session(runnable(model, seeded=seeded), optimization=Optimization.NONE)
    names = [entry.name for entry in session.get_outputs()]
    return list(zip(names, run_session(session, feed, str(model.path)), strict=True))

"""One run as sent to a worker process or another machine, and its answer, both as plain JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any

from framework.study.plan import PlannedRun
from framework.study.spec import RunSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One run, complete: nothing else is needed to execute it.

    Attributes
    ----------
    path, format, dims, training, drop_unused
        The graph, as for `framework.formats.read_graph`.
    sha256
        Digest the graph must have; another means that the file has changed since the study was planned.
    device
        Fields of a `Device`, or None.
    code
        Version of the code the run was planned with; a worker that has another refuses.
    proofs
        Folder for the proof log of the run; empty for none.
    records
        Folder of records of the testbed whose partition to start from; empty for none.
    """

    key: str
    path: str
    format: str | None
    dims: dict[str, int]
    training: bool
    drop_unused: bool
    sha256: str
    device: dict[str, Any] | None
    stages: int
    entry: str
    seed: int
    budget: float
    presolve: bool
    gap: float
    workers: int
    memory_bytes: int | None
    plugin_files: tuple[str, ...]
    code: str
    proofs: str = ""
    records: str = ""

    def to_json(self) -> str:
        """Return the task as one line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        return cls(**{**values, "plugin_files": tuple(values["plugin_files"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a task ended.

    Attributes
    ----------
    document
        The result document (`framework.portfolio.result`); None where there is none.
    instance
        Digest of the priced instance.
    error
        Why there is no document; final, unless `lost`.
    lost
        The worker died, so that the run may well succeed elsewhere.
    wall
        Seconds from hand-over to return, which is solving, reading and the study's own overhead.
    host, environment
        Where it ran, and with what.
    """

    key: str
    document: dict[str, Any] | None = None
    instance: str = ""
    error: str = ""
    lost: bool = False
    wall: float = 0.0
    host: str = ""
    environment: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> Finished:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def make_task(run: PlannedRun, settings: RunSettings, code: str, proofs: str = "") -> Task:
    """Return the task of a planned run, which writes its proof log into a folder if one is given."""
    choice = run.graph.choice
    return Task(
        key=run.key,
        path=choice.path,
        format=choice.format,
        dims=dict(choice.dims),
        training=choice.training,
        drop_unused=choice.drop_unused,
        sha256=run.graph.sha256,
        device=None if run.device is None else run.device.as_dict(),
        stages=run.stages,
        entry=run.choice.entry,
        seed=run.seed,
        budget=run.budget,
        presolve=run.choice.presolve,
        gap=settings.gap,
        workers=settings.workers,
        memory_bytes=settings.memory_bytes,
        plugin_files=settings.plugin_files,
        code=code,
        proofs=proofs,
    )

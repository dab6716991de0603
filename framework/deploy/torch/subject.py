"""A split of a program, for a trial: its stages, and those of naive splits, run in the processes of one `World`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from framework.deploy.pipeline.compare import worst_of
from framework.deploy.pipeline.pipeline import Batch
from framework.deploy.pipeline.verdict import Verdict
from framework.deploy.split.manifest import Manifest
from framework.deploy.torch.equality import compare_results, random_results
from framework.deploy.torch.model import TorchModel, open_torch_model
from framework.deploy.torch.pipeline import StageFile, TorchPipeline, Unsplit
from framework.deploy.torch.placement import Place, choose_backend
from framework.deploy.torch.split import split_program
from framework.deploy.torch.stages import cut_program
from framework.deploy.torch.world import World
from framework.formats.torch.export.program import Program
from framework.model.arrays import IntArray


@contextmanager
def open_program_subject(
    manifest: Manifest, path: Path, folder: Path, *, affinity: bool, backend: str = "auto"
) -> Iterator[ProgramSubject]:
    """Open a split and its program, with as many processes as there are stages.

    Parameters
    ----------
    path
        The unsplit program.
    folder
        An empty folder, for the inputs of the stages.
    affinity
        Whether each stage has a core of its own, where there are enough.
    backend
        What connects stages, one of `framework.deploy.torch.placement.Backend`.

    Raises
    ------
    UserError
        If the program cannot be read, a process does not start, or torch lacks the backend.
    """
    model = open_torch_model(path, manifest.dims)
    torch.save(model.feed(), folder / "feed.pt")
    predicted = manifest.document["predicted"] or {}
    size = max(len(manifest.stages), int(predicted.get("stages", 1)))
    with World(size, str(manifest.folder), affinity, choose_backend(backend, size)) as world:
        yield ProgramSubject(manifest, model, world, folder / "feed.pt")


class ProgramSubject:
    """See `framework.deploy.tuning.trial.Subject`."""

    def __init__(self, manifest: Manifest, model: TorchModel, world: World, feed: Path) -> None:
        self.model = model
        self.settings = str(world.backend)
        self._manifest, self._world, self._feed = manifest, world, feed

    @cached_property
    def _whole(self) -> Unsplit:
        return Unsplit(self.model, Place.of(self._world.backend, 0))

    def unsplit(self) -> Unsplit:
        """Return the unsplit program."""
        return self._whole

    @contextmanager
    def start(self, name: str, stage_of: IntArray | None) -> Iterator[_ProgramStages]:
        """Load the stages of a partition into the processes."""
        stages = self._own() if stage_of is None else self._cut(stage_of)
        inputs = [call.name for call in self.model.program.inputs]
        with TorchPipeline(self._world, name, stages, self._whole.shapes, inputs, self._feed) as pipeline:
            yield _ProgramStages(self.model.program, self._whole, pipeline)

    def write(
        self,
        stage_of: IntArray,
        folder: Path,
        *,
        predicted: Mapping[str, Any],
        source: Path,
        force: bool,
        complete: Callable[[Manifest], Manifest],
    ) -> Manifest:
        """Write the stages of a partition to a folder; the program is where it was."""
        return split_program(self.model, stage_of.tolist(), folder, predicted=predicted, force=force, complete=complete)

    def _own(self) -> list[StageFile]:
        return [
            StageFile(
                file=self._manifest.folder / row["file"],
                stage_of=(),
                number=row["stage"],
                inputs=tuple(row["inputs"]),
                outputs=tuple(row["outputs"]),
            )
            for row in self._manifest.stages
        ]

    def _cut(self, stage_of: IntArray) -> list[StageFile]:
        program = self.model.program
        numbers = tuple(int(stage) for stage in stage_of)
        return [
            StageFile(
                file=self.model.path,
                stage_of=numbers,
                number=stage.number,
                inputs=(*(program.inputs[i].name for i in stage.fed), *stage.received),
                outputs=stage.outputs,
            )
            for stage in cut_program(program, numbers)
        ]


class _ProgramStages:
    """A pipeline of a program."""

    def __init__(self, program: Program, whole: Unsplit, pipeline: TorchPipeline) -> None:
        self.numbers = pipeline.numbers
        self._program, self._whole, self._pipeline = program, whole, pipeline

    def run(self, items: int) -> Batch:
        """Run this many items."""
        return self._pipeline.run(items)

    def judge(self, batches: Sequence[Batch]) -> Verdict:
        """Compare the results of batches with those of the unsplit program."""
        expected = self._whole.expected
        shown = worst_of(compare_results(self._program, batch.results, expected) for batch in batches)
        drawn = random_results(self._program)
        remarks = [
            f"{name!r} depends on random numbers of {nodes[0]!r}, and is not compared" for name, nodes in drawn.items()
        ]
        return Verdict(difference=shown, equal=shown.equal, remarks=tuple(remarks))

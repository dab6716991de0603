"""The two kinds of splits that are run: of ONNX models with onnxruntime, of exported programs with torch."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from framework.deploy.onnx_model import ModelFile, open_model
from framework.deploy.pipeline.pipeline import Batch, Pipeline
from framework.deploy.pipeline.turns import Unsplit
from framework.deploy.pipeline.verdict import Judge, Verdict
from framework.deploy.runtime import Optimization, random_feed
from framework.deploy.split.manifest import Manifest
from framework.deploy.split.split import split_model
from framework.deploy.tuning.trial import Subject
from framework.errors import UserError
from framework.formats.torch.export.files import is_program
from framework.model.arrays import IntArray


@contextmanager
def open_subject(
    manifest: Manifest,
    *,
    model_path: Path | None = None,
    optimization: Optimization = Optimization.ALL,
    affinity: bool = True,
    backend: str = "auto",
    seed: int = 0,
) -> Iterator[Subject]:
    """Open a split and its model, for as long as the context lasts.

    Parameters
    ----------
    model_path
        The unsplit model; the manifest knows where it was.
    optimization
        How far onnxruntime rewrites graphs; means nothing to a program.
    affinity
        Whether each stage has a core of its own, where there are enough.
    backend
        What connects the stages of a program: gloo, nccl, or auto. Stages of ONNX models know none.
    seed
        Of the inputs of an ONNX model; a program has examples.

    Raises
    ------
    UserError
        If the unsplit model is gone, or is none of these; for a backend that it does not know, or torch lacks.
    """
    whole = model_path or manifest.model_path
    if not whole.is_file():
        raise UserError("the unsplit model is not there", where=str(whole), hint="give its file as `model`")
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pipebound-")))
        if is_program(whole):
            from framework.deploy.torch.subject import open_program_subject

            yield stack.enter_context(open_program_subject(manifest, whole, folder, affinity=affinity, backend=backend))
        elif backend != "auto":
            raise UserError("stages of ONNX models share memory", where=str(whole), hint="drop the backend")
        else:
            yield _OnnxSubject(manifest, open_model(whole), folder, optimization, affinity, seed)


class _OnnxSubject:
    def __init__(
        self,
        manifest: Manifest,
        model: ModelFile,
        folder: Path,
        optimization: Optimization,
        affinity: bool,
        seed: int,
    ) -> None:
        self.model = model
        self.settings = str(optimization)
        self._manifest, self._folder = manifest, folder
        self._optimization, self._affinity = optimization, affinity
        self._feed = random_feed(model, manifest.dims, seed)

    def unsplit(self) -> Unsplit:
        """Return the unsplit model, loaded."""
        return self._whole

    @contextmanager
    def start(self, name: str, stage_of: IntArray | None) -> Iterator[_OnnxStages]:
        """Start the stages of a partition; files that are written for that are removed at the end."""
        with contextlib.ExitStack() as stack:
            split = self._manifest
            if stage_of is not None:
                folder = self._folder / name.replace(" ", "-")
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
                split = split_model(self.model, stage_of.tolist(), folder, dims=self._manifest.dims)
            pipeline = Pipeline(split, self._feed, optimization=self._optimization, affinity=self._affinity)
            yield _OnnxStages(split, stack.enter_context(pipeline), lambda: self._judge)

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
        """Write the stages of a partition to a folder."""
        return split_model(
            self.model,
            stage_of.tolist(),
            folder,
            dims=self._manifest.dims,
            predicted=predicted,
            source=source,
            force=force,
            complete=complete,
        )

    @cached_property
    def _whole(self) -> Unsplit:
        return Unsplit(self.model, self._feed, self._optimization)

    @cached_property
    def _judge(self) -> Judge:
        return Judge(model=self.model, feed=self._feed, expected=self._whole.expected)


class _OnnxStages:
    """A pipeline of onnxruntime's, and its split."""

    def __init__(self, split: Manifest, pipeline: Pipeline, judge: Callable[[], Judge]) -> None:
        self.numbers = [int(row["stage"]) for row in split.stages]
        self._split, self._pipeline, self._judge = split, pipeline, judge

    def run(self, items: int) -> Batch:
        """Run this many items."""
        return self._pipeline.run(items)

    def judge(self, batches: Sequence[Batch]) -> Verdict:
        """Compare the results of batches with those of the unsplit model."""
        return self._judge().judge(self._split, [batch.results for batch in batches])

"""Running splits of a program: their stages in the processes of one `World`, and the unsplit program in this one."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import fx

from framework.deploy.pipeline.pipeline import Batch
from framework.deploy.pipeline.turns import FEWEST, batch_items
from framework.deploy.torch.folding import fold
from framework.deploy.torch.model import TorchModel
from framework.deploy.torch.placement import CORES, Place
from framework.deploy.torch.profile import one_thread
from framework.deploy.torch.stage_process import Drop, Load, Run, StageTimes, Tensor
from framework.deploy.torch.stages import returned_tensors, value_names
from framework.deploy.torch.world import STALL_SECONDS, World
from framework.formats.torch.export.files import quietly
from framework.formats.torch.export.program import states_of

LOAD_SECONDS = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StageFile:
    """Where a stage comes from, and what it takes and returns, by the names of `value_names`.

    Attributes
    ----------
    file
        The file of the stage, or that of the whole program.
    stage_of
        Of the whole program: the stage of each of its nodes; empty for the file of a stage.
    number
        The number of the stage.
    inputs, outputs
        Names of inputs of the program, then of tensors of other stages; names of what it returns.
    """

    file: Path
    stage_of: tuple[int, ...]
    number: int
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Unsplit:
    """The whole program in this process, on one thread: its results, and the shape and type of each value in it."""

    def __init__(self, model: TorchModel, place: Place = CORES) -> None:
        self._place = place
        self._feed = [place.put(value) for value in model.feed()]
        program = model.program
        folded = fold(program.module)
        self._module = place.put_module(folded.module)
        states = states_of(self._module)
        self._states = [(held, held.clone()) for name, held in self._module.named_buffers() if name in states]
        names = value_names(program)
        # The module of another place has other calls, in the same order.
        there = dict(zip(folded.module.graph.nodes, self._module.graph.nodes, strict=True))
        shown = {there[folded.calls[call]]: name for call, name in names.items() if call in folded.calls}
        watcher = _Watcher(self._module, shown)
        with torch.no_grad(), quietly(), one_thread():
            results = watcher.run(*self._feed, enable_io_processing=False)
        self._restore()
        self.shapes = watcher.shapes
        values = [leaf for leaf in results if isinstance(leaf, torch.Tensor)]
        self.expected = [
            (names[leaf], as_array(value)) for leaf, value in zip(returned_tensors(program), values, strict=True)
        ]

    def bytes_of(self, name: str) -> int:
        """Return the size of a value that was computed."""
        shape, dtype = self.shapes[name]
        return int(math.prod(shape) * getattr(torch, dtype).itemsize)

    @property
    def finite(self) -> bool:
        """Whether all results are finite numbers."""
        return all(np.isfinite(array).all() for _, array in self.expected if array.dtype.kind == "f")

    def batch_items(self, stages: int) -> int:
        """Return how many items take half a second, or as many as a pipeline of so many stages needs."""
        return batch_items(self, stages + FEWEST)

    def run(self, items: int) -> Batch:
        """Run this many items, one after the other; the batch says what seconds of a core or GPU they took."""
        passed, busy = [], []
        with torch.no_grad(), quietly(), one_thread():
            for _ in range(items):
                begun, used = self._place.passed(), self._place.busy()
                self._module(*self._feed)
                busy.append(self._place.busy() - used)
                passed.append(self._place.passed() - begun)
                self._restore()
        return Batch(period=float(np.mean(passed)), busy=(float(np.median(busy)),), results=dict(self.expected))

    def _restore(self) -> None:
        for buffer, value in self._states:
            buffer.detach().copy_(value)


class _Watcher(fx.Interpreter):
    """Runs a module, and notes the shape and type of its tensors."""

    def __init__(self, module: fx.GraphModule, names: Mapping[fx.Node, str]) -> None:
        super().__init__(module, garbage_collect_values=True)
        self.shapes: dict[str, tuple[tuple[int, ...], str]] = {}
        self._names = names

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self._names and isinstance(value, torch.Tensor):
            self.shapes[self._names[n]] = (tuple(value.shape), str(value.dtype).removeprefix("torch."))
        return value


class TorchPipeline:
    """The stages of a split, loaded into the first processes of a world; close it after use.

    Parameters
    ----------
    world
        As many processes as there are stages, or more.
    key
        What the split is called there.
    stages
        The stages, in order.
    shapes
        Shape and type of each value that is handed over.
    inputs
        Names of the inputs of the program.
    feed
        File with their values.
    """

    def __init__(
        self,
        world: World,
        key: str,
        stages: Sequence[StageFile],
        shapes: Mapping[str, tuple[tuple[int, ...], str]],
        inputs: Sequence[str],
        feed: Path,
    ) -> None:
        self.numbers = [stage.number for stage in stages]
        self._world, self._key, self._size = world, key, len(stages)
        position = {name: i for i, name in enumerate(inputs)}
        maker = {name: rank for rank, stage in enumerate(stages) for name in stage.outputs}
        tags = {name: i for i, name in enumerate(shapes)}

        def tensor(name: str, peer: int) -> Tensor:
            shape, dtype = shapes[name]
            return Tensor(name=name, shape=shape, dtype=dtype, peer=peer, tag=tags[name])

        takers = {
            name: [rank for rank, stage in enumerate(stages) if name in stage.inputs]
            for stage in stages
            for name in stage.outputs
        }
        world.ask(
            [
                Load(
                    key=key,
                    file=stage.file,
                    stage_of=stage.stage_of,
                    number=stage.number,
                    feed=feed,
                    fed=tuple(position[name] for name in stage.inputs if name in position),
                    received=tuple(tensor(name, maker[name]) for name in stage.inputs if name not in position),
                    outputs=stage.outputs,
                    sent=tuple(tensor(name, taker) for name in stage.outputs for taker in takers[name]),
                )
                for stage in stages
            ],
            LOAD_SECONDS,
        )

    def __enter__(self) -> TorchPipeline:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._world.ask([Drop(key=self._key)] * self._size)

    def run(self, items: int) -> Batch:
        """Send `items` items through; at least two more than there are stages.

        Raises
        ------
        UserError
            If a stage fails or stalls.
        """
        if items < self._size + 2:
            raise ValueError("too few items to fill the pipeline")
        order = Run(key=self._key, items=items, results=True)
        times: list[StageTimes] = self._world.ask([order] * self._size, STALL_SECONDS + 10.0 * items)
        done = np.max([stage.ended for stage in times], axis=0)
        results: dict[str, NDArray[Any]] = {}
        for stage in times:
            values = torch.load(io.BytesIO(stage.results), weights_only=True)
            results |= {name: as_array(value) for name, value in values.items()}
        return Batch(
            period=float(done[-1] - done[self._size]) / (items - 1 - self._size),
            busy=tuple(stage.busy for stage in times),
            results=results,
        )


def as_array(tensor: torch.Tensor) -> NDArray[Any]:
    """Return a tensor as an array; types that numpy has not are widened to float32."""
    foreign = tensor.is_floating_point() and tensor.dtype not in (torch.float16, torch.float32, torch.float64)
    return np.asarray((tensor.float() if foreign else tensor).detach().cpu().numpy())

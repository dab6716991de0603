"""Training: what a stage holds beyond its parameters while microbatches pass through a pipeline, forwards and back.

A stage keeps *activations*, the tensors that the gradients of its nodes are computed from, from the forward pass of a
microbatch to its backward pass: each tensor once, however many nodes of the stage need it. With the schedule 1F1B stage
b of k (numbered from 0) has at most ``min(M, k - b)`` of M microbatches in flight (Narayanan et al., SOSP 2019 and SC
2021), and keeps its activations for each of them.

Of each parameter it holds the value, the gradient, and what the optimizer keeps.

`framework.formats.training` makes the graph of a training step from that of an inference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from framework.errors import UserError
from framework.model.shared import SharedParameters

ADAM = 2
"""Values that Adam keeps for each parameter: the averages of its gradient and of its square."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a model is trained, as far as it matters to memory.

    Attributes
    ----------
    microbatches
        How many there are in a step; None for at least as many as stages.
    optimizer_states
        How many values the optimizer keeps for each parameter, each of the size of the parameter.
    """

    microbatches: int | None = None
    optimizer_states: int = ADAM

    def __post_init__(self) -> None:
        if self.microbatches is not None and not 1 <= self.microbatches < 1 << 20:
            raise UserError(f"`microbatches` is {self.microbatches}", hint="give a number of at least 1")
        if not 0 <= self.optimizer_states <= 64:
            raise UserError(f"`optimizer_states` is {self.optimizer_states}", hint="2 for Adam, 1 for momentum, else 0")

    def as_dict(self) -> dict[str, Any]:
        """Return what `of` reads; only what is not as by default, besides `training` itself."""
        said: dict[str, Any] = {"training": True}
        if self.microbatches is not None:
            said["microbatches"] = self.microbatches
        if self.optimizer_states != ADAM:
            said["optimizer_states"] = self.optimizer_states
        return said

    @staticmethod
    def of(said: Mapping[str, Any]) -> Training | None:
        """Return what an object says of training, among other things; None if it says nothing."""
        if not said.get("training"):
            return None
        return Training(microbatches=said.get("microbatches"), optimizer_states=int(said.get("optimizer_states", ADAM)))

    @property
    def copies(self) -> int:
        """How often a stage holds each of its parameters: value, gradient, and states of the optimizer."""
        return 2 + self.optimizer_states

    def in_flight(self, stages: int) -> list[int]:
        """Return how many microbatches each of so many stages has in flight at most, with 1F1B."""
        most = stages if self.microbatches is None else self.microbatches
        return [min(most, stages - b) for b in range(stages)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingStep:
    """What the graph of a training step knows beyond that of an inference.

    Attributes
    ----------
    training
        How the model is trained.
    gradients
        Number of the first tensor that is a gradient: all tensors after it are. The gradient of a tensor has its
        producer, and those of its consumers that it comes back from; it is cut by the stages that these are in, as the
        tensor is.
    activations
        Which nodes need each tensor to compute gradients: a stage that holds one of them keeps the tensor.
    activation_bytes
        The size of each of these tensors.
    """

    training: Training
    gradients: int
    activations: SharedParameters = field(default_factory=SharedParameters)
    activation_bytes: np.ndarray[tuple[int], np.dtype[np.float64]] = field(default_factory=lambda: np.zeros(0))

    def arrays(self) -> Sequence[bytes]:
        """Return everything, for digests."""
        said = repr((self.training, self.gradients)).encode()
        arrays = (self.activations.ptr, self.activations.users, self.activation_bytes)
        return [said, *(array.tobytes() for array in arrays)]

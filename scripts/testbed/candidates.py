"""What the sources of the testbed have in common: a candidate, and shorthand for its inputs."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

KINDS = Path(__file__).with_name("kinds.txt")

Inputs = Callable[[Any], tuple[Sequence[Any], Mapping[str, Any]]]

SOURCES = {
    "timm": ("vision_models", "timm_models"),
    "torchvision": ("vision_models", "torchvision_models"),
    "smp": ("segmentation_models", "smp_models"),
    "monai": ("segmentation_models", "monai_models"),
    "transformers": ("transformers_models", "transformers_models"),
    "published": ("published_models", "published_models"),
    "diffusers": ("diffusers_models", "diffusers_models"),
    "pyg": ("graphs_models", "pyg_models"),
    "deepctr": ("other_models", "deepctr_models"),
    "torchaudio": ("other_models", "torchaudio_models"),
    "openclip": ("other_models", "openclip_models"),
    "xtransformers": ("other_models", "xtransformers_models"),
}
"""Where the candidates of each source come from: module and function."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One model that may become a graph of the testbed.

    Attributes
    ----------
    name
        Distinct among all candidates; the graph's name.
    family
        Architecture, the same word in whatever package it comes from.
    task
        One of the task areas of the catalogue.
    package
        Distribution that the model comes from.
    build
        Makes the module.
    inputs
        Attempts, in order, to name its inputs.
    batch
        Batch size of its inputs.
    routed_share
        See `framework.formats.torch.reader.read`.
    full
        Whether it has the depth of a published model; kept in preference to cuts.
    """

    name: str
    family: str
    task: str
    package: str
    build: Callable[[], Any]
    inputs: tuple[Inputs, ...]
    batch: int | None = 1
    routed_share: float = 1.0
    full: bool = False


def candidates(source: str) -> Iterator[Candidate]:
    """Yield the candidates of a source, always in the same order."""
    module, function = SOURCES[source]
    yield from getattr(importlib.import_module(module), function)()


def listed_kinds(package: str) -> set[str]:
    """Return the kinds of a package that are to be tried."""
    lines = KINDS.read_text(encoding="utf-8").splitlines()
    return {line.split()[1] for line in lines if line.startswith(f"{package} ")}


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return an input of unknown values."""
    return torch.empty(shape, dtype=dtype, device="meta")


def tokens(count: int, vocabulary: int = 97) -> torch.Tensor:
    """Return a batch of one sequence of tokens."""
    return (torch.arange(count) % max(1, vocabulary) + 5)[None]


def fixed(*inputs: Any, **keywords: Any) -> Inputs:
    """Return inputs that do not depend on the module."""
    return lambda module: (inputs, keywords)


def slug(text: str) -> str:
    """Return a name of lower-case letters, digits, dots, dashes and underscores."""
    return re.sub(r"[^a-z0-9._-]+", "-", text.lower()).strip("-.")


_SAME = {
    "bvlc-alexnet": "alexnet",
    "convnextv2": "convnext",
    "dinov2": "vision-transformer",
    "googlenet": "inception",
    "inception-v3": "inception",
    "inception-v4": "inception",
    "mobilenetv2": "mobilenet-v2",
    "mobilenetv3": "mobilenet-v3",
    "poolformer": "metaformer",
    "swin": "swin-transformer",
    "swinv2": "swin-transformer-v2",
    "vit": "vision-transformer",
}


def family_name(text: str) -> str:
    """Return the family that an architecture is called by in whatever package."""
    name = slug(re.sub(r"_", "-", text))
    return _SAME.get(name, name)

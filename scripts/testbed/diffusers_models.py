"""Denoisers and autoencoders of the diffusers package in their default configurations.

What a model takes is found from the signature of its forward pass and its configuration; where the rank of the latent
is unclear, video, image, sequence and signal are tried in turn.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from candidates import Candidate, Inputs, listed_kinds, meta, slug

_VIDEO = (
    "3D",
    "Video",
    "Wan",
    "LTX",
    "Mochi",
    "Cosmos",
    "Allegro",
    "SkyReels",
    "Temporal",
    "Latte",
    "EasyAnimate",
    "KLMagvit",
)
_CHANNELS = ("in_channels", "in_dim", "image_in_channels", "latent_channels")
_CONTEXT = (
    "cross_attention_dim",
    "joint_attention_dim",
    "caption_channels",
    "text_embed_dim",
    "encoder_hid_dim",
    "text_dim",
    "cap_feat_dim",
    "text_hidden_dim",
    "context_in_dim",
    "caption_projection_dim",
)
_CAPTIONS = tuple(sorted(_CONTEXT, key=lambda key: not key.startswith(("caption_channels", "text_", "cap_"))))
"""The same, those of the text before those inside the model."""

_LATENTS = ("sample", "hidden_states", "x", "latents")
_TIMES = ("timestep", "timesteps", "t", "time_step", "timestep_ratio")
_TEXTS = ("encoder_hidden_states", "context", "txt", "encoder_hidden_states_t5")
_MASKS = ("encoder_attention_mask", "encoder_hidden_states_mask", "prompt_attention_mask")
_WORDS, _PATCHES = 77, 256


def diffusers_models() -> Iterator[Candidate]:
    logging.disable(logging.WARNING)
    import diffusers

    wanted = listed_kinds("diffusers")
    for name in sorted(dir(diffusers)):
        if name.lower() not in wanted:
            continue
        try:
            kind = getattr(diffusers, name)
        except (ImportError, RuntimeError):
            continue
        if isinstance(kind, type) and issubclass(kind, diffusers.ModelMixin):
            module = kind.__module__.rsplit(".", 1)[-1]
            yield Candidate(
                name=slug(f"diffusers-{name}"),
                family=slug(f"diffusers-{module.replace('_', '-')}"),
                task="diffusion",
                package="diffusers",
                build=kind,
                inputs=tuple(
                    _attempt(name, rank, context) for context in (_CONTEXT, _CAPTIONS) for rank in (None, 5, 4, 3, 2)
                ),
            )


def _attempt(name: str, rank: int | None, context: tuple[str, ...]) -> Inputs:
    def inputs(model: Any) -> Any:
        takes = inspect.signature(model.forward).parameters
        width = _first(model.config, *context) or 768
        width = width[0] if isinstance(width, list | tuple) else width
        found = {key: _value(key, takes[key], takes, name, model.config, rank, width) for key in takes}
        return (), {key: value for key, value in found.items() if value is not None}

    return inputs


def _value(
    key: str, parameter: Any, takes: Mapping[str, Any], name: str, config: Any, rank: int | None, width: int
) -> Any:
    required = parameter.default is inspect.Parameter.empty
    axes = len(_first(config, "axes_dims_rope") or (0, 0, 0))
    if key in _LATENTS:
        return _latent(takes, name, config, rank)
    if key in _TIMES:
        return torch.tensor([500]) if "embed" in name.lower() else torch.tensor([500.0])
    if key in _TEXTS:
        return meta(1, _WORDS, width)
    if key in _MASKS and required:
        return torch.ones(1, _WORDS, dtype=torch.long)
    if key in ("pooled_projections", "pooled_projection"):
        return meta(1, _first(config, "pooled_projection_dim") or 768)
    if key == "class_labels" and (_first(config, "num_class_embeds") or _first(config, "num_embeds_ada_norm")):
        return torch.tensor([3])
    if key == "guidance" and _first(config, "guidance_embeds"):
        return torch.tensor([3.5])
    if key == "controlnet_cond":
        size = 8 * _size(config)
        return meta(1, 3, size, size) if "encoder_hid_dim" in config else _latent(takes, name, config, rank)
    if key == "added_cond_kwargs" and "PixArt" in name:
        return {"resolution": None, "aspect_ratio": None}
    if key == "num_frames":
        return 5 if required else None
    if key == "fps":
        return torch.tensor([8]) if required else None
    others: dict[str, Any] = {
        "img_ids": torch.zeros(_PATCHES, axes),
        "txt_ids": torch.zeros(_WORDS, axes),
        "added_time_ids": torch.zeros(1, 3),
        "original_size": torch.tensor([[256, 256]]),
        "target_size": torch.tensor([[256, 256]]),
        "crop_coords": torch.tensor([[0, 0]]),
        "img_shapes": [[(1, 16, 16)]],
        "r_timestep": torch.tensor([400.0]) if required else None,
        "proj_embedding": meta(1, _first(config, "embedding_dim") or 768),
        "height": 32,
        "width": 32,
    }
    return others.get(key)


def _latent(takes: Mapping[str, Any], name: str, config: Any, rank: int | None) -> torch.Tensor:
    channels = _first(config, *_CHANNELS) or 4
    channels = channels[0] if isinstance(channels, list | tuple) else channels
    size = _size(config)
    is_autoencoder = "Autoencoder" in name or "VQ" in name
    if rank is not None:
        shapes = {5: (channels, 5, 64, 64), 4: (channels, 64, 64), 3: (_PATCHES, channels), 2: (channels, 32768)}
        return meta(1, *shapes[rank])
    if "img_ids" in takes or "img_shapes" in takes:
        return meta(1, _PATCHES, channels)
    if "CogVideoXTr" in name or "UNetSpatio" in name:
        return meta(1, 5, channels, 32, 32)
    if any(word in name for word in _VIDEO):
        if is_autoencoder:
            return meta(1, 3 if _first(config, "in_channels") in (3, None) else channels, 5, 64, 64)
        return meta(1, channels, 5, 32, 32)
    if "1D" in name:
        return meta(1, channels, 1024)
    if "Oobleck" in name:
        return meta(1, 2, 32768)
    if is_autoencoder:
        return meta(1, channels if _first(config, "in_channels") else 3, 256, 256)
    return meta(1, channels, size, size)


def _size(config: Any) -> int:
    size = _first(config, "sample_size") or 32
    return min(size if isinstance(size, int) else size[0], 256)


def _first(config: Any, *keys: str) -> Any:
    return next((config[key] for key in keys if config.get(key) is not None), None)

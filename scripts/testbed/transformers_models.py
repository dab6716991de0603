"""Models of the transformers package in their default configurations, cut to 12 layers and 8 experts.

The cut bounds the time to trace all of them; `published_models` holds models at their published depth. What a model
takes is found from the signature of its forward pass and from its configuration, in three attempts.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
from collections.abc import Iterator
from typing import Any

import torch
from candidates import Candidate, Inputs, family_name, listed_kinds, meta, slug, tokens

LAYERS, EXPERTS, PER_TOKEN = 12, 8, 2

_DEPTHS = ("num_hidden_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "num_layers", "depth")
_PER_LAYER = ("layer_types", "mlp_layer_types", "layers_block_type", "no_rope_layers")
_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "num_moe_experts")
_ROUTING = (("num_experts_per_tok", PER_TOKEN), ("n_group", 1), ("topk_group", 1), ("moe_k", PER_TOKEN))
_PARTS = ("vision_config", "text_config", "audio_config", "encoder", "backbone_config", "encoder_config")
_ENCODERS = frozenset({"bert", "roberta", "electra", "camembert"})
_AUDIO_SAMPLES = 16000
_UNSET = {"prediction_length": 24, "vocab_size": 33, "num_experts_per_tok": PER_TOKEN}
"""Values for fields that some configurations leave open."""

_ABSENT = inspect.Parameter("absent", inspect.Parameter.KEYWORD_ONLY, default=inspect.Parameter.empty)
_IMAGE_SIDES = {"DFine": 640, "Deimv2": 640, "DepthPro": 1536, "EdgeTam": 1024}
"""Sides of the images of models whose configuration does not name them, by the start of their class name."""


def transformers_models() -> Iterator[Candidate]:
    logging.disable(logging.WARNING)
    from transformers import CONFIG_MAPPING
    from transformers.models.auto import modeling_auto as auto

    wanted = listed_kinds("transformers")
    for kind in auto.MODEL_MAPPING_NAMES:
        if kind in CONFIG_MAPPING and kind in wanted:
            task, factory = _role(kind, auto)
            yield Candidate(
                name=slug(f"transformers-{kind}"),
                family=family_name(kind),
                task=task,
                package="transformers",
                build=lambda kind=kind, factory=factory: _build(kind, factory),
                inputs=tuple(_attempt(keep) for keep in ("all", "text", "image", "main")),
                routed_share=1 / EXPERTS,
            )


def _role(kind: str, auto: Any) -> tuple[str, str]:
    """Return the task area of a kind of model, and the class that builds it."""
    speech = (auto.MODEL_FOR_CTC_MAPPING_NAMES, auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES)
    sounds = (auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES, auto.MODEL_FOR_AUDIO_XVECTOR_MAPPING_NAMES)
    if kind in auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES:
        return "detection", "AutoModelForObjectDetection"
    if kind in auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES and kind in ("segformer", "upernet", "mobilevit"):
        return "segmentation", "AutoModelForSemanticSegmentation"
    segments = (
        auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES,
        auto.MODEL_FOR_MASK_GENERATION_MAPPING_NAMES,
        auto.MODEL_FOR_IMAGE_SEGMENTATION_MAPPING_NAMES,
    )
    if any(kind in mapping for mapping in segments):
        return "segmentation", "AutoModel"
    if any(kind in mapping for mapping in (*speech, *sounds)) or kind in _SOUND:
        return "audio", "AutoModel"
    if kind in auto.MODEL_FOR_TIME_SERIES_PREDICTION_MAPPING_NAMES:
        return "time series", "AutoModel"
    if (
        kind in auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES
        or kind in auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES
    ):
        return "image and text", "AutoModel"
    if kind in auto.MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES:
        return "video", "AutoModel"
    if kind in auto.MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES:
        return "depth", "AutoModel"
    pictures = (auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES, auto.MODEL_FOR_IMAGE_TO_IMAGE_MAPPING_NAMES)
    if any(kind in mapping for mapping in pictures) or kind.endswith(("_vision_model", "_vision")):
        return "vision", "AutoModel"
    if kind in auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES:
        return "language", "AutoModelForSeq2SeqLM"
    if kind in auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES and kind not in _ENCODERS:
        return "language", "AutoModelForCausalLM"
    return "language", "AutoModel"


_SOUND = frozenset(
    {"encodec", "dac", "mimi", "xcodec", "clap", "univnet", "vits", "musicgen", "musicgen_melody", "bark"}
)


def _build(kind: str, factory: str) -> Any:
    import transformers

    kind_of_config = transformers.CONFIG_MAPPING[kind]
    takes = inspect.signature(kind_of_config).parameters
    config = kind_of_config(
        **{name: value for name, value in _UNSET.items() if takes.get(name, _ABSENT).default is None}
    )
    parts = [config] + [getattr(config, part, None) for part in _PARTS]
    for part in parts:
        if hasattr(part, "to_dict"):
            _cut(part)
    if hasattr(config, "use_pretrained_backbone"):
        config.use_pretrained_backbone = False
    return getattr(transformers, factory).from_config(config)


def _cut(config: Any) -> None:
    """Cut a configuration to few layers and experts; experts run one by one, so that each is part of the graph."""
    config._experts_implementation = "eager"
    for field in _DEPTHS:
        _lower(config, field, LAYERS)
    for field in _PER_LAYER:
        kinds = getattr(config, field, None)
        if isinstance(kinds, list) and len(kinds) > LAYERS:
            with contextlib.suppress(AttributeError, ValueError):
                setattr(config, field, kinds[:LAYERS])
    lowered = [_lower(config, field, EXPERTS) for field in _EXPERTS]
    if any(lowered):
        for field, most in _ROUTING:
            _lower(config, field, most)


def _lower(config: Any, field: str, most: int) -> bool:
    value = getattr(config, field, None)
    if type(value) is not int or value <= most:
        return False
    with contextlib.suppress(AttributeError, ValueError, NotImplementedError):
        setattr(config, field, most)
        return True
    return False


def _attempt(keep: str) -> Inputs:
    def inputs(model: Any) -> Any:
        keywords = _inputs_of(model, model.config)
        main = getattr(model, "main_input_name", "input_ids")
        chosen = {
            "all": lambda name: True,
            "text": lambda name: "input_ids" in name,
            "image": lambda name: name.startswith("pixel"),
            "main": lambda name: name == main,
        }[keep]
        kept = {name: value for name, value in keywords.items() if chosen(name)}
        if not kept:
            raise ValueError("no input is known")
        if "use_cache" in inspect.signature(model.forward).parameters:
            kept["use_cache"] = False
        return (), kept

    return inputs


def _inputs_of(model: Any, config: Any) -> dict[str, Any]:
    takes = inspect.signature(model.forward).parameters
    if "past_values" in takes:
        return _series(config, takes)
    main = getattr(model, "main_input_name", "input_ids")
    vocabulary = min(97, (_field(config, "vocab_size") or 103) - 6)
    length = 128
    positions = _field(config, "max_position_embeddings", "n_positions")
    if type(positions) is int and positions < length:
        length = max(8, positions - 4)
    found: dict[str, Any] = {}
    if "input_ids" in takes:
        found["input_ids"] = tokens(length, vocabulary)
    found |= _pictures(type(model).__name__, config, takes, main)
    found |= _sounds(type(model).__name__, config, takes, main)
    if "decoder_input_ids" in takes and getattr(config, "is_encoder_decoder", False):
        found["decoder_input_ids"] = tokens(64, vocabulary)
    if "bbox" in takes:
        found["bbox"] = torch.ones(1, length, 4, dtype=torch.long) * torch.tensor([1, 2, 30, 40])
    if main not in found and main in takes:
        found[main] = meta(1, length, _field(config, "hidden_size", "d_model") or 64)
    return found


def _pictures(kind: str, config: Any, takes: Any, main: str) -> dict[str, Any]:
    named = next((side for start, side in _IMAGE_SIDES.items() if kind.startswith(start)), None)
    size = named or _field(config, "image_size", "input_size") or 224
    height, width = size if isinstance(size, list | tuple) and len(size) == 2 else (size, size)
    if not (type(height) is int and type(width) is int):
        height = width = 224
    channels = _field(config, "num_channels", "in_channels") or 3
    frames = _field(config, "num_frames", "frames_per_clip")
    found: dict[str, Any] = {}
    if "pixel_values" in takes:
        is_video = main == "pixel_values" and any(word in kind.lower() for word in ("videomae", "vivit", "timesformer"))
        shape = (1, frames or 8, channels, height, width) if is_video else (1, channels, height, width)
        found["pixel_values"] = meta(*shape)
    if "pixel_values_videos" in takes and "pixel_values" not in takes:
        found["pixel_values_videos"] = meta(1, frames or 16, channels, height, width)
    return found


def _sounds(kind: str, config: Any, takes: Any, main: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if "input_features" in takes and main == "input_features":
        bins = (
            _field(config, "num_mel_bins", "feature_size", "input_feat_per_channel", "hidden_size", "input_dim") or 80
        )
        found["input_features"] = meta(1, bins, 3000) if "Whisper" in kind else meta(1, 300, bins)
    if "input_values" in takes:
        if any(word in kind for word in ("Encodec", "Dac", "Mimi", "XCodec", "Xcodec")):
            found["input_values"] = meta(1, 1, _AUDIO_SAMPLES)
        elif kind.startswith("AST"):
            found["input_values"] = meta(1, config.max_length, config.num_mel_bins)
        else:
            found["input_values"] = meta(1, _AUDIO_SAMPLES)
    return found


def _series(config: Any, takes: Any) -> dict[str, Any]:
    length = getattr(config, "context_length", 32)
    if "past_time_features" not in takes:
        channels = getattr(config, "num_input_channels", None) or getattr(config, "input_size", 1)
        return {"past_values": meta(1, length, channels)}
    length += max(config.lags_sequence)
    features = config.num_time_features
    return {
        "past_values": meta(1, length),
        "past_time_features": meta(1, length, features),
        "past_observed_mask": torch.ones(1, length),
        "future_time_features": meta(1, config.prediction_length, features),
        "static_categorical_features": None,
    }


def _field(config: Any, *names: str) -> Any:
    """Return the first of these fields that a configuration or one of its parts has."""
    parts = [config] + [getattr(config, part, None) for part in _PARTS]
    for name in names:
        for part in parts:
            value = getattr(part, name, None)
            if isinstance(value, int | tuple | list) and not isinstance(part, dict):
                return value
    return None

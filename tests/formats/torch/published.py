"""Small modules of published architectures, of the package transformers, for the tests of exported programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import nn

from tests.formats.torch.programs import Branches, Tied, tokens


class Case(NamedTuple):
    """A module and its arguments; `shapes` for `torch.export` where a dimension is open."""

    module: Any
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = {}
    shapes: Any = None


WORDS, WIDTH, HEADS, LAYERS = 32, 32, 4, 2
SIDE, PER_TOKEN = 48, 2


def image() -> Any:
    return torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def of_transformers(kind: str, **fields: Any) -> Any:
    """Return a module of a class of transformers, with random weights, from the fields of its configuration."""
    # Not by an import statement: type checks run where the package is not installed.
    named = getattr(import_module("transformers"), kind)
    torch.manual_seed(0)
    return named(named.config_class(**fields)).eval()


def resnet() -> Case:
    fields = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 2], "layer_type": "bottleneck"}
    return Case(of_transformers("ResNetForImageClassification", **fields), (image(),))


def convnext() -> Case:
    return Case(of_transformers("ConvNextModel", hidden_sizes=[8, 16], depths=[1, 1], num_stages=2), (image(),))


def mobilenet() -> Case:
    return Case(of_transformers("MobileNetV2Model", image_size=32, depth_multiplier=0.25), (image(),))


def vit() -> Case:
    fields = {"image_size": 32, "patch_size": 8, "intermediate_size": 2 * WIDTH}
    return Case(of_transformers("ViTForImageClassification", **decoder_fields(), **fields), (image(),))


def decoder_fields() -> dict[str, Any]:
    return {"num_hidden_layers": LAYERS, "hidden_size": WIDTH, "num_attention_heads": HEADS}


def bert() -> Case:
    module = of_transformers("BertModel", vocab_size=WORDS, intermediate_size=2 * WIDTH, **decoder_fields())
    return Case(module, (tokens(2, 5),), {"attention_mask": torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])})


def gpt2() -> Case:
    module = of_transformers("GPT2LMHeadModel", vocab_size=WORDS, n_layer=LAYERS, n_embd=WIDTH, n_head=HEADS)
    return Case(module, (tokens(2, 5),), {"use_cache": False})


def llama() -> Case:
    fields = {"vocab_size": WORDS, "intermediate_size": SIDE, "num_key_value_heads": 2, **decoder_fields()}
    return Case(of_transformers("LlamaForCausalLM", **fields), (tokens(2, 5),), {"use_cache": False})


def mixtral() -> Case:
    fields = {"vocab_size": WORDS, "intermediate_size": SIDE, "num_key_value_heads": 2, "num_local_experts": 4}
    fields["num_experts_per_tok"] = PER_TOKEN
    module = of_transformers("MixtralForCausalLM", **fields, **decoder_fields())
    return Case(module, (tokens(2, 5),), {"use_cache": False})


def t5() -> Case:
    fields = {"vocab_size": WORDS, "d_model": WIDTH, "d_kv": 8, "d_ff": SIDE, "num_layers": LAYERS, "num_heads": HEADS}
    given = {"input_ids": tokens(2, 5), "decoder_input_ids": tokens(2, 3), "use_cache": False}
    return Case(of_transformers("T5ForConditionalGeneration", **fields), (), given)


def whisper() -> Case:
    sides = {f"{side}_{what}": value for side in ("encoder", "decoder") for what, value in whisper_side().items()}
    fields = {"vocab_size": WORDS, "d_model": WIDTH, "num_mel_bins": 8, "max_source_positions": 10, "pad_token_id": 0}
    given = {"input_features": torch.randn(1, 8, 20), "decoder_input_ids": tokens(1, 3), "use_cache": False}
    return Case(of_transformers("WhisperModel", **fields, **sides), (), given)


def whisper_side() -> dict[str, int]:
    return {"layers": LAYERS, "attention_heads": HEADS, "ffn_dim": SIDE}


def clip() -> Case:
    small = {**decoder_fields(), "intermediate_size": SIDE, "projection_dim": 16}
    text, vision = {**small, "vocab_size": WORDS}, {**small, "image_size": 32, "patch_size": 8}
    module = of_transformers("CLIPModel", text_config=text, vision_config=vision, projection_dim=16)
    return Case(module, (), {"input_ids": tokens(2, 5), "pixel_values": image()})


class Lstm(nn.Module):
    """A table and two recurrent layers that read from both sides."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.lstm = nn.Embedding(32, 8), nn.LSTM(8, 12, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(24, 3)

    def forward(self, x: Any) -> Any:
        """Run it."""
        states, (last, _) = self.lstm(self.table(x))
        return {"all": self.head(states), "last": last}


def lstm() -> Case:
    return Case(Lstm().eval(), (tokens(2, 5),))


def tied() -> Case:
    return Case(Tied().eval(), (tokens(2, 5),))


def dicts() -> Case:
    return Case(Branches().eval(), (torch.randn(1, 3, 6, 6),), {"scale": torch.ones(())})


def open_batch() -> Case:
    case = bert()
    batch = torch.export.Dim("batch", min=2, max=16)
    return Case(case.module, case.args, case.kwargs, {"input_ids": {0: batch}, "attention_mask": {0: batch}})


CASES: Mapping[str, Callable[[], Case]] = {
    case.__name__: case
    for case in (
        resnet,
        convnext,
        mobilenet,
        vit,
        bert,
        gpt2,
        llama,
        mixtral,
        t5,
        whisper,
        clip,
        lstm,
        tied,
        dicts,
        open_batch,
    )
}

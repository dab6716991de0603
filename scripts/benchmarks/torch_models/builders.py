"""Modules with random weights for `run.py`: published architectures, small enough to be measured on a core.

They come from the package transformers, since torch has few models of its own; `recurrent` and `unet` are written here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import nn

DECODER: Mapping[str, int] = {
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "vocab_size": 16000,
}
"""Sizes of the decoders with grouped queries."""


class Built(NamedTuple):
    """A module, its arguments, and the class of the modules that launchers place whole."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    layer: str


def tokens(words: int, length: int = 128) -> torch.Tensor:
    return torch.randint(0, words, (1, length))


def resnet() -> Built:
    from transformers import ResNetConfig, ResNetForImageClassification

    return Built(
        ResNetForImageClassification(ResNetConfig()), (torch.randn(1, 3, 160, 160),), {}, "ResNetBottleNeckLayer"
    )


def convnext() -> Built:
    from transformers import ConvNextConfig, ConvNextForImageClassification

    return Built(ConvNextForImageClassification(ConvNextConfig()), (torch.randn(1, 3, 128, 128),), {}, "ConvNextLayer")


def vit() -> Built:
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(hidden_size=384, num_attention_heads=6, intermediate_size=1536, num_hidden_layers=6)
    return Built(ViTForImageClassification(config), (torch.randn(1, 3, 224, 224),), {}, "ViTLayer")


def bert() -> Built:
    from transformers import BertConfig, BertModel

    config = BertConfig(num_hidden_layers=6, hidden_size=384, num_attention_heads=6, intermediate_size=1536)
    return Built(BertModel(config), (tokens(config.vocab_size),), {}, "BertLayer")


def gpt2() -> Built:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(n_layer=6, n_embd=384, n_head=6, vocab_size=16000)
    return Built(GPT2LMHeadModel(config), (tokens(config.vocab_size),), {"use_cache": False}, "GPT2Block")


def llama() -> Built:
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(num_hidden_layers=6, **DECODER)
    return Built(LlamaForCausalLM(config), (tokens(config.vocab_size),), {"use_cache": False}, "LlamaDecoderLayer")


def mixtral() -> Built:
    from transformers import MixtralConfig, MixtralForCausalLM

    config = MixtralConfig(num_hidden_layers=4, num_local_experts=4, **DECODER)
    return Built(MixtralForCausalLM(config), (tokens(config.vocab_size),), {"use_cache": False}, "MixtralDecoderLayer")


def t5() -> Built:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(num_layers=4)
    words = tokens(config.vocab_size)
    given = {"input_ids": words, "decoder_input_ids": words[:, :64], "use_cache": False}
    return Built(T5ForConditionalGeneration(config), (), given, "T5Block")


def whisper() -> Built:
    from transformers import WhisperConfig, WhisperModel

    config = WhisperConfig(encoder_layers=2, decoder_layers=2)
    given = {"input_features": torch.randn(1, 80, 3000), "decoder_input_ids": tokens(1000, 16), "use_cache": False}
    return Built(WhisperModel(config), (), given, "WhisperEncoderLayer")


class Recurrent(nn.Module):
    """A table, four recurrent layers with residual connections, a head."""

    def __init__(self, width: int = 384, layers: int = 4, words: int = 8000) -> None:
        super().__init__()
        self.table = nn.Embedding(words, width)
        self.layers = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(layers))
        self.head = nn.Linear(width, words)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.table(x)
        for layer in self.layers:
            x = x + layer(x)[0]
        return self.head(x)


def recurrent() -> Built:
    return Built(Recurrent(), (tokens(8000),), {}, "LSTM")


class UNet(nn.Module):
    """Four levels down and up, with a skip over all that lies between at each of them."""

    def __init__(self, width: int = 24, levels: int = 4) -> None:
        super().__init__()
        widths = [width << i for i in range(levels)]
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairwise(widths))
        self.up = nn.ModuleList(nn.ConvTranspose2d(b, a, 2, 2) for a, b in pairwise(widths))
        self.join = nn.ModuleList(nn.Conv2d(2 * a, a, 3, padding=1) for a in widths[:-1])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x).relu()
        kept = []
        for down in self.down:
            kept.append(x)
            x = down(x).relu()
        for up, join, before in zip(reversed(self.up), reversed(self.join), reversed(kept), strict=True):
            x = join(torch.cat([up(x), before], 1)).relu()
        return x


def unet() -> Built:
    return Built(UNet(), (torch.randn(1, 3, 192, 192),), {}, "Conv2d")


MODELS: Mapping[str, Callable[[], Built]] = {
    "resnet": resnet,
    "bert": bert,
    "gpt2": gpt2,
    "llama": llama,
    "t5": t5,
    "vit": vit,
    "convnext": convnext,
    "whisper": whisper,
    "mixtral": mixtral,
    "recurrent": recurrent,
    "unet": unet,
}
DEFAULT = ("resnet", "bert", "gpt2", "llama", "t5", "vit")

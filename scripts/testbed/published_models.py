"""Large models at the depth and width at which they were published, in bfloat16.

The figures of each configuration are those of its paper or model card.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from candidates import Candidate, fixed, meta, tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """A published model: its name, the kind of its configuration, what builds it, and its figures."""

    name: str
    kind: str
    factory: str = "AutoModelForCausalLM"
    family: str = ""
    task: str = "language"
    figures: dict[str, Any] = field(default_factory=dict)
    experts: int = 1


def _llama(layers: int, width: int, inner: int, heads: int, shared: int, vocabulary: int) -> dict[str, Any]:
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "intermediate_size": inner,
        "num_attention_heads": heads,
        "num_key_value_heads": shared,
        "vocab_size": vocabulary,
    }


_MODELS = (
    Published(name="llama-3.1-8b", kind="llama", figures=_llama(32, 4096, 14336, 32, 8, 128256)),
    Published(name="llama-3.1-405b", kind="llama", figures=_llama(126, 16384, 53248, 128, 8, 128256)),
    Published(name="mixtral-8x7b", kind="mixtral", figures=_llama(32, 4096, 14336, 32, 8, 32000), experts=8),
    Published(name="mixtral-8x22b", kind="mixtral", figures=_llama(56, 6144, 16384, 48, 8, 32768), experts=8),
    Published(name="olmoe-1b-7b", kind="olmoe", experts=64),
    Published(name="mistral-large-2", kind="mistral", figures=_llama(88, 12288, 28672, 96, 8, 32768)),
    Published(name="command-r-plus", kind="cohere", figures=_llama(64, 12288, 33792, 96, 8, 256000)),
    Published(name="starcoder2-15b", kind="starcoder2", figures=_llama(40, 6144, 24576, 48, 4, 49152)),
    Published(name="qwen2.5-72b", kind="qwen2", figures=_llama(80, 8192, 29568, 64, 8, 152064)),
    Published(
        name="gemma-2-27b",
        kind="gemma2",
        figures=_llama(46, 4608, 36864, 32, 16, 256000) | {"head_dim": 128, "layer_types": None},
    ),
    Published(
        name="deepseek-v2-lite",
        kind="deepseek_v2",
        experts=64,
        figures=_llama(27, 2048, 10944, 16, 16, 102400)
        | {
            "kv_lora_rank": 512,
            "q_lora_rank": None,
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
            "moe_intermediate_size": 1408,
            "n_routed_experts": 64,
            "n_shared_experts": 2,
            "num_experts_per_tok": 6,
            "first_k_dense_replace": 1,
            "topk_method": "greedy",
            "routed_scaling_factor": 1.0,
        },
    ),
    Published(
        name="gpt-oss-20b", kind="gpt_oss", experts=32, figures={"num_hidden_layers": 24, "num_local_experts": 32}
    ),
    Published(name="gpt2-xl", kind="gpt2", figures={"n_embd": 1600, "n_layer": 48, "n_head": 25}),
    Published(
        name="opt-175b",
        kind="opt",
        figures={"hidden_size": 12288, "num_hidden_layers": 96, "num_attention_heads": 96, "ffn_dim": 49152},
    ),
    Published(name="bloom-176b", kind="bloom", figures={"hidden_size": 14336, "n_layer": 70, "n_head": 112}),
    Published(
        name="falcon-40b",
        kind="falcon",
        figures={
            "hidden_size": 8192,
            "num_hidden_layers": 60,
            "num_attention_heads": 128,
            "num_kv_heads": 8,
            "new_decoder_architecture": True,
        },
    ),
    Published(
        name="gpt-neox-20b",
        kind="gpt_neox",
        figures={
            "hidden_size": 6144,
            "num_hidden_layers": 44,
            "num_attention_heads": 64,
            "intermediate_size": 24576,
        },
    ),
    Published(
        name="gpt-j-6b",
        kind="gptj",
        figures={"n_embd": 4096, "n_layer": 28, "n_head": 16, "rotary_dim": 64},
    ),
    Published(
        name="bert-large",
        kind="bert",
        factory="AutoModel",
        figures={
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
        },
    ),
    Published(
        name="deberta-v2-xxlarge",
        kind="deberta-v2",
        factory="AutoModel",
        figures={
            "hidden_size": 1536,
            "num_hidden_layers": 48,
            "num_attention_heads": 24,
            "intermediate_size": 6144,
            "relative_attention": True,
            "position_buckets": 256,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "pos_att_type": ["p2c", "c2p"],
            "conv_kernel_size": 3,
        },
    ),
    Published(
        name="t5-11b",
        kind="t5",
        factory="AutoModelForSeq2SeqLM",
        figures={
            "d_model": 1024,
            "d_kv": 128,
            "d_ff": 65536,
            "num_layers": 24,
            "num_decoder_layers": 24,
            "num_heads": 128,
        },
    ),
    Published(
        name="whisper-large-v3",
        kind="whisper",
        factory="AutoModel",
        task="audio",
        figures={
            "d_model": 1280,
            "encoder_layers": 32,
            "decoder_layers": 32,
            "encoder_attention_heads": 20,
            "decoder_attention_heads": 20,
            "encoder_ffn_dim": 5120,
            "decoder_ffn_dim": 5120,
            "num_mel_bins": 128,
        },
    ),
    Published(
        name="wav2vec2-large",
        kind="wav2vec2",
        factory="AutoModel",
        task="audio",
        figures={
            "hidden_size": 1024,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "intermediate_size": 4096,
            "feat_extract_norm": "layer",
            "do_stable_layer_norm": True,
        },
    ),
)


def published_models() -> Iterator[Candidate]:
    logging.disable(logging.WARNING)
    for model in _MODELS:
        text = tokens(128)
        inputs = fixed(input_ids=text, use_cache=False)
        if model.kind == "whisper":
            inputs = fixed(input_features=_half(1, 128, 3000), decoder_input_ids=tokens(64), use_cache=False)
        elif model.kind == "wav2vec2":
            inputs = fixed(input_values=_half(1, 16000))
        elif model.factory == "AutoModel":
            inputs = fixed(input_ids=text)
        elif model.factory == "AutoModelForSeq2SeqLM":
            inputs = fixed(input_ids=text, decoder_input_ids=tokens(64), use_cache=False)
        yield Candidate(
            name=f"published-{model.name}",
            family=model.family or model.kind.replace("_", "-"),
            task=model.task,
            package="transformers",
            build=lambda model=model: _build(model),
            inputs=(inputs,),
            routed_share=1 / model.experts,
            full=True,
        )


def _half(*shape: int) -> torch.Tensor:
    return meta(*shape, dtype=torch.bfloat16)


def _build(model: Published) -> Any:
    import transformers

    config = transformers.CONFIG_MAPPING[model.kind](**model.figures)
    if model.experts > 1:
        config._experts_implementation = "eager"
    return getattr(transformers, model.factory).from_config(config, dtype=torch.bfloat16)

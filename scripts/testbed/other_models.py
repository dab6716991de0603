"""Audio, recommendation, image-and-text and language models of torchaudio, deepctr, open_clip and x-transformers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from candidates import Candidate, fixed, meta, slug, tokens


def torchaudio_models() -> Iterator[Candidate]:
    import torchaudio.models as zoo

    lengths = torch.tensor
    rows: list[tuple[str, Callable[[], Any], tuple[Any, ...]]] = [
        ("conv-tasnet", zoo.conv_tasnet_base, (meta(1, 1, 16000),)),
        ("hdemucs-low", lambda: zoo.hdemucs_low(["a", "b", "c", "d"]), (meta(1, 2, 44100),)),
        ("hdemucs-high", lambda: zoo.hdemucs_high(["a", "b", "c", "d"]), (meta(1, 2, 44100),)),
        ("wav2letter", lambda: zoo.Wav2Letter(input_type="mfcc", num_features=40), (meta(1, 40, 300),)),
        ("deepspeech", lambda: zoo.DeepSpeech(64), (meta(1, 1, 50, 64),)),
        ("conformer", lambda: zoo.Conformer(80, 4, 256, 12, 31), (meta(1, 200, 80), lengths([200]))),
        (
            "emformer",
            lambda: zoo.Emformer(256, 4, 512, 8, 16, right_context_length=4),
            (meta(1, 68, 256), lengths([64])),
        ),
        (
            "emformer-rnnt",
            lambda: zoo.emformer_rnnt_base(128),
            (meta(1, 68, 80), lengths([64]), torch.ones(1, 8, dtype=torch.long), lengths([8]), None),
        ),
        (
            "wavernn",
            lambda: zoo.WaveRNN([5, 5, 8], 512, 200, n_res_block=4),
            (meta(1, 1, 1800), meta(1, 1, 128, 13)),
        ),
        ("squim-objective", zoo.squim_objective_base, (meta(1, 16000),)),
        ("squim-subjective", zoo.squim_subjective_base, (meta(1, 16000), meta(1, 16000))),
        (
            "tacotron2",
            lambda: zoo.Tacotron2(decoder_max_step=8),
            (torch.ones(1, 30, dtype=torch.long), lengths([30]), meta(1, 80, 40), lengths([40])),
        ),
        ("wav2vec2-base", zoo.wav2vec2_base, (meta(1, 16000),)),
        ("wavlm-base", zoo.wavlm_base, (meta(1, 16000),)),
    ]
    for name, build, inputs in rows:
        family = {"hdemucs-low": "hdemucs", "hdemucs-high": "hdemucs", "wav2vec2-base": "wav2vec2"}.get(name, name)
        yield Candidate(
            name=f"torchaudio-{name}",
            family=family.removesuffix("-base"),
            task="audio",
            package="torchaudio",
            build=build,
            inputs=(fixed(*inputs),),
        )


_CLIP = (
    "ViT-B-32",
    "RN50",
    "RN50x4",
    "coca_ViT-B-32",
    "convnext_base",
    "EVA02-B-16",
    "ViT-B-16-SigLIP",
    "MobileCLIP-S1",
    "ViTamin-B",
    "mt5-base-ViT-B-32",
    "PE-Core-B-16",
    "nllb-clip-base",
)


def openclip_models() -> Iterator[Candidate]:
    import open_clip

    known = set(open_clip.list_models())
    for name in _CLIP:
        if name in known:
            yield Candidate(
                name=slug(f"openclip-{name}"),
                family={"RN50": "clip-resnet", "RN50x4": "clip-resnet", "ViT-B-32": "clip"}.get(
                    name, slug(f"clip-{name.split('-')[0]}")
                ),
                task="image and text",
                package="open_clip_torch",
                build=lambda name=name: open_clip.create_model(name),
                inputs=(_image_and_text,),
            )


def _image_and_text(model: Any) -> Any:
    size = model.visual.image_size
    height, width = (size, size) if isinstance(size, int) else size
    return [meta(1, 3, height, width), tokens(getattr(model, "context_length", 77) or 77)], {}


_CLICK_MODELS = (
    "DeepFM",
    "xDeepFM",
    "DCN",
    "DCNMix",
    "AutoInt",
    "PNN",
    "WDL",
    "NFM",
    "AFM",
    "FiBiNET",
    "ONN",
    "IFM",
    "DIFM",
    "AFN",
    "CCPM",
    "SharedBottom",
    "ESMM",
    "MMOE",
    "PLE",
)
_NO_NUMBERS = ("AFM", "CCPM")
_ONE_LIST = ("PNN", "SharedBottom", "ESMM", "MMOE", "PLE")


def deepctr_models() -> Iterator[Candidate]:
    """Yield models of click rates on the shape of the Criteo data: 26 categories, 13 numbers, 256 rows."""
    import deepctr_torch.models as zoo
    from deepctr_torch.inputs import DenseFeat, SparseFeat

    columns = [SparseFeat(f"C{i}", 1000 * (1 + i % 7), embedding_dim=16) for i in range(26)]
    columns += [DenseFeat(f"I{i}", 1) for i in range(13)]
    categories = (torch.arange(256)[:, None] * 7 + torch.arange(26)) % 997
    rows = torch.cat([categories, torch.zeros(256, 13, dtype=torch.long)], 1).float()
    for name in _CLICK_MODELS:
        lists = (columns,) if name in _ONE_LIST else (columns, columns[:26] if name in _NO_NUMBERS else columns)
        yield Candidate(
            name=slug(f"deepctr-{name}"),
            family=slug(f"ctr-{name}"),
            task="recommendation",
            package="deepctr-torch",
            build=lambda name=name, lists=lists: getattr(zoo, name)(*lists, device="cpu"),
            inputs=(fixed(rows),),
            batch=256,
        )


_LAYERS: dict[str, dict[str, Any]] = {
    "base": {},
    "alibi": {"alibi_pos_bias": True},
    "macaron": {"macaron": True},
    "sandwich": {"sandwich_coef": 3},
    "glu": {"ff_glu": True, "ff_swish": True},
    "talking-heads": {"attn_pre_talking_heads": True, "attn_post_talking_heads": True},
    "hyper-connections": {"num_residual_streams": 4},
    "memory": {"attn_num_mem_kv": 16},
    "laser": {"attn_laser": True},
    "unet-skips": {"unet_skips": True},
}


def xtransformers_models() -> Iterator[Candidate]:
    import x_transformers

    for name, keywords in _LAYERS.items():
        yield Candidate(
            name=f"xtransformers-{name}",
            family=f"xtransformers-{name}",
            task="language",
            package="x-transformers",
            build=lambda keywords=keywords: x_transformers.TransformerWrapper(
                num_tokens=20000,
                max_seq_len=1024,
                attn_layers=x_transformers.Decoder(dim=512, depth=12, heads=8, **keywords),
            ),
            inputs=(fixed(tokens(256)),),
        )

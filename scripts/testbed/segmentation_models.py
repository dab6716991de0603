"""Segmentation models of segmentation-models-pytorch and monai."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from candidates import Candidate, fixed, meta, slug

_ENCODERS = (
    "resnet34",
    "mobilenet_v2",
    "efficientnet-b2",
    "densenet121",
    "mit_b1",
    "vgg13_bn",
    "dpn68",
    "xception",
    "timm-regnetx_004",
    "inceptionresnetv2",
)
_DECODERS = (
    "Unet",
    "UnetPlusPlus",
    "MAnet",
    "Linknet",
    "FPN",
    "PSPNet",
    "PAN",
    "DeepLabV3",
    "DeepLabV3Plus",
    "UPerNet",
    "Segformer",
    "DPT",
)


def smp_models() -> Iterator[Candidate]:
    import segmentation_models_pytorch as smp

    for i, decoder in enumerate(_DECODERS):
        picks = [_ENCODERS[j % len(_ENCODERS)] for j in (i, 3 * i + 1, 7 * i + 4, i + 5)]
        size = 256
        if decoder == "DPT":
            picks, size = ["tu-vit_base_patch16_224.augreg_in21k"], 224
        for encoder in dict.fromkeys(picks):
            yield Candidate(
                name=slug(f"smp-{decoder}-{encoder.removeprefix('tu-').split('.')[0]}"),
                family=f"smp-{decoder.lower()}",
                task="segmentation",
                package="segmentation_models_pytorch",
                build=lambda decoder=decoder, encoder=encoder: getattr(smp, decoder)(encoder, encoder_weights=None),
                inputs=(fixed(meta(1, 3, size, size)),),
            )


def monai_models() -> Iterator[Candidate]:
    from monai.networks import nets

    scan = meta(1, 1, 96, 96, 96)
    space: dict[str, Any] = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
    levels: dict[str, Any] = {"channels": (32, 64, 64), "num_res_blocks": (2, 2, 2)}
    rows: list[tuple[str, str, Callable[[], Any], tuple[Any, ...]]] = [
        (
            "UNet",
            "segmentation",
            lambda: nets.UNet(**space, channels=(16, 32, 64, 128, 256), strides=(2, 2, 2, 2), num_res_units=2),
            (scan,),
        ),
        ("BasicUNet", "segmentation", lambda: nets.BasicUNet(**space), (scan,)),
        ("BasicUNetPlusPlus", "segmentation", lambda: nets.BasicUNetPlusPlus(**space), (scan,)),
        (
            "AttentionUnet",
            "segmentation",
            lambda: nets.AttentionUnet(**space, channels=(16, 32, 64, 128), strides=(2, 2, 2)),
            (scan,),
        ),
        ("UNETR", "segmentation", lambda: nets.UNETR(1, 2, (96, 96, 96)), (scan,)),
        ("SwinUNETR", "segmentation", lambda: nets.SwinUNETR(1, 2), (scan,)),
        ("SegResNet", "segmentation", lambda: nets.SegResNet(), (scan,)),
        ("SegResNetDS", "segmentation", lambda: nets.SegResNetDS(), (scan,)),
        ("SegResNetVAE", "segmentation", lambda: nets.SegResNetVAE((96, 96, 96)), (scan,)),
        ("VNet", "segmentation", lambda: nets.VNet(), (scan,)),
        ("HighResNet", "segmentation", lambda: nets.HighResNet(), (scan,)),
        (
            "DynUNet",
            "segmentation",
            lambda: nets.DynUNet(3, 1, 2, [3, 3, 3, 3], [1, 2, 2, 2], [2, 2, 2]),
            (scan,),
        ),
        ("AHNet", "segmentation", lambda: nets.AHNet(spatial_dims=3), (scan,)),
        ("RegUNet", "registration", lambda: nets.RegUNet(3, 1, 16, 3), (scan,)),
        ("GlobalNet", "registration", lambda: nets.GlobalNet((96, 96, 96), 3, 1, 16, 3), (scan,)),
        ("LocalNet", "registration", lambda: nets.LocalNet(3, 1, 16, 3), (scan,)),
        ("Restormer", "restoration", lambda: nets.Restormer(2), (meta(1, 1, 128, 128),)),
        ("HoVerNet", "segmentation", lambda: nets.HoVerNet(out_classes=5), (meta(1, 3, 256, 256),)),
        (
            "DiffusionModelUNet",
            "diffusion",
            lambda: nets.DiffusionModelUNet(
                2, 1, 1, channels=(32, 64, 64), attention_levels=(False, True, True), num_head_channels=32
            ),
            (meta(1, 1, 64, 64), torch.tensor([10])),
        ),
        ("MedNeXt", "segmentation", lambda: nets.MedNeXt(), (scan,)),
        ("DenseNet3D", "vision", lambda: nets.DenseNet121(3, 1, 2), (scan,)),
        ("SENet154", "vision", lambda: nets.SENet154(3, 1, 2), (meta(1, 1, 64, 64, 64),)),
        ("DAF3D", "segmentation", lambda: nets.DAF3D(1, 2), (scan,)),
        ("Quicknat", "segmentation", lambda: nets.Quicknat(), (meta(1, 1, 128, 128),)),
        ("ViTAutoEnc", "vision", lambda: nets.ViTAutoEnc(1, (96, 96, 96), (16, 16, 16)), (scan,)),
        (
            "FlexibleUNet",
            "segmentation",
            lambda: nets.FlexibleUNet(3, 2, "efficientnet-b0"),
            (meta(1, 3, 128, 128),),
        ),
        ("VQVAE", "diffusion", lambda: nets.VQVAE(3, 1, 1), (scan,)),
        (
            "AutoencoderKL",
            "diffusion",
            lambda: nets.AutoencoderKL(3, 1, 1, **levels, attention_levels=(False, False, True)),
            (meta(1, 1, 32, 32, 32),),
        ),
    ]
    for name, task, build, inputs in rows:
        yield Candidate(
            name=slug(f"monai-{name}"),
            family=slug(f"monai-{name}"),
            task=task,
            package="monai",
            build=build,
            inputs=(fixed(*inputs),),
        )

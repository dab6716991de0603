"""Image, detection, segmentation, video and flow models of timm and torchvision."""

from __future__ import annotations

import inspect
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from candidates import Candidate, Inputs, family_name, fixed, meta, slug

# Variants that only have more channels or larger images than others of their family.
_HEAVY = re.compile(
    r"large|huge|giant|xl|384|448|512|so400m|enormous|gigantic|160|640|_b[5-8]|256d|200|269|152|6b|7b|5b|3b|2b|1b"
)
_MODULES = {
    "vision_transformer_hybrid": "vision-transformer-hybrid",
    "swin_transformer_v2_cr": "swin-transformer-v2",
    "inception_resnet_v2": "inception-resnet",
}


def timm_models() -> Iterator[Candidate]:
    import timm
    from timm.models import _registry

    members: dict[str, list[str]] = defaultdict(list)
    for name in timm.list_models():
        members[_registry._model_to_module[name]].append(name)
    for module in sorted(members):
        for name in _spread(sorted(members[module])):
            yield Candidate(
                name=slug(f"timm-{name}"),
                family=_MODULES.get(module, family_name(module)),
                task="vision",
                package="timm",
                build=lambda name=name: timm.create_model(name, pretrained=False),
                inputs=(_image_of,),
            )


def _image_of(model: Any) -> Any:
    return [meta(1, *model.pretrained_cfg.get("input_size", (3, 224, 224)))], {}


def _spread(names: list[str]) -> list[str]:
    """Return up to five names of a module: one per series of models, small and large ones in turn."""
    light = [name for name in names if not _HEAVY.search(name)] or names
    series: dict[str, list[str]] = defaultdict(list)
    for name in light:
        series[re.split(r"\d", name)[0].rstrip("_")].append(name)
    picked = [members[len(members) // 3] for members in series.values()]
    picked = picked[:: max(1, len(picked) // 4)][:4]
    picked += [light[0], light[len(light) // 2], light[-1], names[len(names) // 2]]
    return list(dict.fromkeys(picked))[:5]


_AREAS = {"detection": "detection", "segmentation": "segmentation", "optical_flow": "optical flow", "video": "video"}


def torchvision_models() -> Iterator[Candidate]:
    import torchvision.models as zoo

    for name in zoo.list_models():
        builder = zoo.get_model_builder(name)
        module = builder.__module__
        if "quantization" in module:
            continue
        keywords: dict[str, Any] = {"weights": None}
        if "weights_backbone" in inspect.signature(builder).parameters:
            keywords["weights_backbone"] = None
        if name in ("googlenet", "inception_v3"):
            keywords |= {"init_weights": False, "aux_logits": False}
        area = next((area for part, area in _AREAS.items() if part in module), "vision")
        yield Candidate(
            name=slug(f"torchvision-{name}"),
            family=family_name(module.rsplit(".", 1)[-1]),
            task=area,
            package="torchvision",
            build=lambda name=name, keywords=keywords: zoo.get_model(name, **keywords),
            inputs=(_torchvision_inputs(name, area),),
        )


def _torchvision_inputs(name: str, area: str) -> Inputs:
    if area == "detection":
        return fixed([meta(3, 480, 640)])
    if area == "optical flow":
        return fixed(meta(1, 3, 256, 256), meta(1, 3, 256, 256), num_flow_updates=4)
    if area == "video":
        return fixed(meta(1, 3, 16, 224, 224))
    size = 299 if "inception" in name else 384 if area == "segmentation" else 224
    return fixed(meta(1, 3, size, size))

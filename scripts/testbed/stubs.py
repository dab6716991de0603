"""Lets torchvision and torchaudio be imported beside a torch that their compiled parts do not fit.

Both come as wheels for one build of torch. Only their Python code is needed here: torchvision's compiled operators are
declared without kernels (it registers their meta versions itself), and torchaudio's extension is said to be absent.
"""

from __future__ import annotations

import sys
import types

import torch

_IMAGE = "Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_GRADIENT = "Tensor grad, Tensor rois, {extra}float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_SIZES = "SymInt batch_size, SymInt channels, SymInt height, SymInt width"
_STEPS = (
    "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, SymInt dilation_w, "
    "SymInt groups, SymInt offset_groups, bool use_mask"
)
_DEFORM = "Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, " + _STEPS
_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({_IMAGE}, int sampling_ratio, bool aligned) -> Tensor",
    f"qroi_align({_IMAGE}, int sampling_ratio, bool aligned) -> Tensor",
    f"ps_roi_align({_IMAGE}, int sampling_ratio) -> (Tensor, Tensor)",
    f"roi_pool({_IMAGE}) -> (Tensor, Tensor)",
    f"ps_roi_pool({_IMAGE}) -> (Tensor, Tensor)",
    f"_roi_align_backward({_GRADIENT.format(extra='')}, {_SIZES}, int sampling_ratio, bool aligned) -> Tensor",
    f"_ps_roi_align_backward({_GRADIENT.format(extra='Tensor channel_mapping, ')}, int sampling_ratio, {_SIZES})"
    " -> Tensor",
    f"_roi_pool_backward({_GRADIENT.format(extra='Tensor argmax, ')}, {_SIZES}) -> Tensor",
    f"_ps_roi_pool_backward({_GRADIENT.format(extra='Tensor channel_mapping, ')}, {_SIZES}) -> Tensor",
    f"deform_conv2d({_DEFORM}) -> Tensor",
    f"_deform_conv2d_backward(Tensor grad, {_DEFORM}) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    "_cuda_version() -> int",
)
_libraries: list[torch.library.Library] = []


def install() -> None:
    """Declare what is missing, then import torchvision with its compiled library left out."""
    if _libraries:
        return
    library = torch.library.Library("torchvision", "DEF")
    _libraries.append(library)
    for schema in _SCHEMAS:
        library.define(schema)
    library.impl("_cuda_version", lambda: -1, "CompositeExplicitAutograd")
    extension = types.ModuleType("torchaudio._extension")
    extension.__path__ = []
    extension.fail_if_no_align = lambda function: function
    extension._IS_TORCHAUDIO_EXT_AVAILABLE = extension._IS_ALIGN_AVAILABLE = False
    sys.modules["torchaudio._extension"] = extension
    load_library = torch.ops.load_library
    torch.ops.load_library = lambda path: None
    try:
        import torchvision
        from torchvision.ops import boxes

        assert torchvision.__version__
    finally:
        torch.ops.load_library = load_library
    _let_autocast_name_meta()
    # Whether it is faster to compare all boxes at once depends on their number; the number is a guess here.
    boxes._batched_nms_vanilla = boxes._batched_nms_coordinate_trick


def _let_autocast_name_meta() -> None:
    """Let models write ``torch.autocast(x.device.type, enabled=False)`` where x is on the meta device."""
    begin = torch.autocast.__init__

    def begin_on_cpu(self: torch.autocast, device_type: str, *args: object, **keywords: object) -> None:
        begin(self, "cpu" if device_type == "meta" else device_type, *args, **keywords)

    torch.autocast.__init__ = begin_on_cpu

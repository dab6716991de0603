"""The two models of docs/deploy.md as ONNX files: ResNet-18 of torchvision, six layers of BERT base of transformers.

    python scripts/testbed/export_examples.py FOLDER

Needs torch, torchvision and transformers. Weights are random, from one seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import stubs
import torch


def resnet18() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """Return ResNet-18 and an image of 224 x 224."""
    stubs.install()
    import torchvision.models as zoo

    return zoo.resnet18(), (torch.randn(1, 3, 224, 224),)


class _Encoder(torch.nn.Module):
    """A transformer as a function of its tokens alone."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.model(input_ids=tokens).last_hidden_state
        return hidden


def bert_6() -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
    """Return six layers of BERT base and 128 tokens."""
    from transformers import BertConfig, BertModel

    config = BertConfig(num_hidden_layers=6, attn_implementation="eager")
    return _Encoder(BertModel(config, add_pooling_layer=False)), (torch.zeros(1, 128, dtype=torch.int64),)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for name, make in (("resnet18", resnet18), ("bert_6", bert_6)):
        torch.manual_seed(0)
        model, inputs = make()
        torch.onnx.export(model.eval(), inputs, str(folder / f"{name}.onnx"), opset_version=17, dynamo=False)


if __name__ == "__main__":
    main()

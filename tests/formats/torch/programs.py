"""Small modules that the tests of exported programs use; imported only where torch is installed."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Tied(nn.Module):
    """A language model whose head is its table, with a residual connection around each of its layers."""

    def __init__(self, layers: int = 3, width: int = 16, words: int = 32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(words, width)
        self.layers = nn.ModuleList(nn.Linear(width, width) for _ in range(layers))
        self.head = nn.Linear(width, words, bias=False)
        self.head.weight = self.table.weight

    def forward(self, tokens: Any) -> Any:
        x = self.table(tokens)
        for layer in self.layers:
            x = x + layer(x).relu()
        return self.head(x)


class Branches(nn.Module):
    """Two branches over a common part, a constant mask, results in a dict, one of them a number."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.left = nn.Conv2d(8, 8, 3, padding=1)
        self.right = nn.Conv2d(8, 8, 1)

    def forward(self, x: Any, *, scale: Any) -> Any:
        x = self.stem(x)
        mask = torch.ones(x.shape[-1], x.shape[-1]).tril()
        left, right = (self.left(x) * mask).relu_(), self.right(x).chunk(2, dim=1)
        return {"sum": left[:, :4] + right[1] * scale, "parts": [right[0], x.mean()], "n": 2}


class Written(nn.Module):
    """A view of what the first layer computes is written in place after the second has read it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x: Any) -> Any:
        y = self.first(x)
        z = self.second(y)
        y[:, :4].mul_(2)
        return z + y


class Counting(nn.Module):
    """Adds up its results in a buffer that they depend on."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 4)
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x: Any) -> Any:
        y = self.layer(x) * (self.total + 1)
        self.total.add_(y.sum(0))
        return y + self.total


class Attention(nn.Module):
    """Attention over heads: what it returns lies in memory as its inputs do, and is then seen as one width."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Linear(16, 48)

    def forward(self, x: Any) -> Any:
        q, k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.mix(x).chunk(3, -1))
        mixed = nn.functional.scaled_dot_product_attention(q * 2, k * 2, v * 2)
        return mixed.transpose(1, 2).reshape(*x.shape)


class Grouped(nn.Module):
    """Four heads of queries share two of keys and values, which are repeated for the call."""

    def __init__(self) -> None:
        super().__init__()
        self.queries, self.keys = nn.Linear(32, 32), nn.Linear(32, 32)

    def forward(self, x: Any) -> Any:
        q = self.queries(x).unflatten(-1, (4, 8)).transpose(1, 2)
        k, v = (part.unflatten(-1, (2, 8)).transpose(1, 2) for part in self.keys(x).chunk(2, -1))
        k, v = (
            part[:, :, None].expand(-1, -1, 2, -1, -1).reshape(part.shape[0], 4, part.shape[2], 8) for part in (k, v)
        )
        return nn.functional.scaled_dot_product_attention(q, k, v)


def tokens(*shape: int) -> Any:
    """Return seeded token numbers below 32."""
    return torch.randint(0, 32, shape, generator=torch.Generator().manual_seed(0))

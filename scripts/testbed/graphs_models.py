"""Graph neural networks of torch-geometric on a random graph of 500 nodes and 3000 edges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from candidates import Candidate, fixed, meta, slug

_NODES, _EDGES, _FEATURES = 500, 3000, 64
_MODELS = ("GCN", "GraphSAGE", "GIN", "GAT", "PNA", "EdgeCNN")
_CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "TransformerConv": {},
    "GATv2Conv": {},
    "TAGConv": {},
    "ChebConv": {"K": 3},
    "ARMAConv": {"num_stacks": 2, "num_layers": 2},
    "SGConv": {"K": 3},
    "GraphConv": {},
    "ResGatedGraphConv": {},
    "FeaStConv": {},
    "GENConv": {},
    "ClusterGCNConv": {},
    "SuperGATConv": {},
    "LEConv": {},
    "MFConv": {},
    "EGConv": {},
    "FiLMConv": {},
    "GeneralConv": {},
    "SSGConv": {"alpha": 0.1},
}


class ResidualStack(torch.nn.Module):
    """Six graph convolutions of one kind, each with a residual connection."""

    def __init__(self, convolution: Callable[..., torch.nn.Module], **keywords: Any) -> None:
        super().__init__()
        self.layers = torch.nn.ModuleList(convolution(_FEATURES, _FEATURES, **keywords) for _ in range(6))

    def forward(self, x: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            x = layer(x, edges).relu() + x
        return x


def pyg_models() -> Iterator[Candidate]:
    import torch_geometric.nn as gnn

    generator = torch.Generator().manual_seed(0)
    edges = torch.randint(0, _NODES, (2, _EDGES), generator=generator)
    batch = torch.arange(_NODES) // 50
    positions = torch.rand(60, 3, generator=generator) * 8
    atoms = torch.arange(60) % 8 + 1
    x = meta(_NODES, _FEATURES)

    def candidate(name: str, family: str, build: Callable[[], Any], *inputs: Any, **keywords: Any) -> Candidate:
        return Candidate(
            name=slug(f"pyg-{name}"),
            family=slug(f"gnn-{family}"),
            task="graph",
            package="torch-geometric",
            build=build,
            batch=None,
            inputs=(fixed(*inputs, **keywords),),
        )

    for name in _MODELS:
        for layers in (3, 8, 16):
            options: dict[str, Any] = {} if layers == 3 else {"jk": "cat"} if layers == 8 else {"jk": "max"}
            if name == "PNA":
                options |= {
                    "aggregators": ["mean", "max", "std"],
                    "scalers": ["identity", "amplification"],
                    "deg": torch.ones(20, dtype=torch.long),
                }
            yield candidate(
                f"{name}-{layers}",
                name,
                lambda name=name, layers=layers, options=options: getattr(gnn.models, name)(
                    _FEATURES, 128, layers, 32, **options
                ),
                x,
                edges,
            )
    yield candidate("GraphUNet", "GraphUNet", lambda: gnn.GraphUNet(_FEATURES, 64, 16, 4), x, edges)
    yield candidate("SchNet", "SchNet", lambda: gnn.SchNet(interaction_graph=_all_pairs), atoms, positions)
    yield candidate("LightGCN", "LightGCN", lambda: gnn.LightGCN(_NODES, 64, 4), edges)
    yield candidate(
        "AttentiveFP",
        "AttentiveFP",
        lambda: gnn.AttentiveFP(_FEATURES, 64, 16, 16, 3, 2),
        x,
        edges,
        meta(_EDGES, 16),
        batch,
    )
    yield candidate("LINKX", "LINKX", lambda: gnn.LINKX(_NODES, _FEATURES, 64, 16, 4), x, edges)
    yield candidate("SGFormer", "SGFormer", lambda: gnn.models.SGFormer(_FEATURES, 64, 16), x, edges, batch)
    yield candidate("Polynormer", "Polynormer", lambda: gnn.models.Polynormer(_FEATURES, 64, 16), x, edges, batch)
    yield candidate("DeepGCN", "DeepGCN", lambda: _deep_gcn(gnn), x, edges)
    for name, keywords in _CONVOLUTIONS.items():
        yield candidate(
            f"{name}-6",
            name,
            lambda name=name, keywords=keywords: ResidualStack(getattr(gnn, name), **keywords),
            x,
            edges,
        )


def _all_pairs(positions: torch.Tensor, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the edges between all atoms and their lengths, in place of those within a radius."""
    pairs = torch.combinations(torch.arange(positions.shape[0]), 2).T
    edges = torch.cat([pairs, pairs.flip(0)], 1)
    return edges, (positions[edges[0]] - positions[edges[1]]).norm(dim=-1)


def _deep_gcn(gnn: Any) -> torch.nn.Module:
    """Return the 28-layer residual network of Li et al., "DeepGCNs" (2019), as torch-geometric's example builds it."""
    layers = []
    for _ in range(28):
        convolution = gnn.GENConv(_FEATURES, _FEATURES, aggr="softmax", t=1.0, learn_t=True, num_layers=2, norm="layer")
        layers.append(gnn.DeepGCNLayer(convolution, gnn.LayerNorm(_FEATURES), torch.nn.ReLU(), block="res+"))
    stack: torch.nn.Module = gnn.Sequential("x, edges", [(layer, "x, edges -> x") for layer in layers])
    return stack

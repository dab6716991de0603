"""What two graphs must share to count as one: their structure, whatever their sizes, names and numbering."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from framework.model.graph import ModelGraph
from framework.model.topology import stable_topological_order


def structure_digest(graph: ModelGraph, *, operators: bool = True) -> str:
    """Return 16 hexadecimal digits that equal structures share.

    Two graphs of equal structure have equal digests: node for node the same operators, joined by the same tensors, in
    any numbering. The converse can fail only where two rounds of colour refinement, one along and one against the
    edges, cannot tell graphs apart.

    Parameters
    ----------
    graph
        Its costs, names and numbering play no part.
    operators
        Whether nodes with different operators differ.
    """
    top = graph.topology
    order = stable_topological_order(top).tolist()
    in_ptr, in_tensors = top.in_ptr.tolist(), top.in_tensors.tolist()
    out_ptr, out_tensors = top.out_ptr.tolist(), top.out_tensors.tolist()
    ptr, consumers = top.consumer_ptr.tolist(), top.consumers.tolist()
    producer = top.producer.tolist()
    from_inputs = [b""] * top.n
    for v in order:
        parts = [from_inputs[producer[t]] for t in in_tensors[in_ptr[v] : in_ptr[v + 1]]]
        from_inputs[v] = _mix(graph.ops[v].encode() if operators else b"", parts)
    labels = [b""] * top.n
    for v in reversed(order):
        tensors = [
            _mix(b"tensor", [labels[u] for u in consumers[ptr[t] : ptr[t + 1]]])
            for t in out_tensors[out_ptr[v] : out_ptr[v + 1]]
        ]
        labels[v] = _mix(from_inputs[v], tensors)
    return _mix(repr((top.n, top.m, top.pins)).encode(), labels).hex()


def _mix(head: bytes, parts: Sequence[bytes]) -> bytes:
    """Return eight bytes that depend on a head and on a bag of equally long parts."""
    digest = hashlib.blake2b(len(head).to_bytes(4, "little") + head, digest_size=8)
    digest.update(b"".join(sorted(parts)))
    return digest.digest()

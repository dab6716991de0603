"""Parameters of a traced module: which nodes use which, each stored byte once.

What a node is charged is a whole storage, a part of one, or the result of a computation on constants. Parts of a
storage that lie in one piece are told apart by the bytes they cover: where two of them overlap, or one node uses all
and another a part, the bytes in common are one parameter with both users. Other parts (columns of a table) are
parameters of their own. So are results that are folded into their users.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from framework.formats.parameters import ParameterUses, remark_on_parts
from framework.formats.torch.values import Charge, Values


class Span(NamedTuple):
    """Bytes of a storage, from `start` up to but not including `end`."""

    start: int
    end: int


def parameter_uses(charges: Sequence[Mapping[Charge, int]], values: Values) -> ParameterUses:
    """Return which nodes use which parameters.

    Parameters
    ----------
    charges
        For each node, the bytes of each constant that it is charged.
    values
        What is known of these constants.
    """
    sizes = {charge: nbytes for node in charges for charge, nbytes in node.items()}
    spans: dict[int, set[Span]] = {}
    for charge, nbytes in sizes.items():
        span = _span(charge, nbytes)
        if span is not None:
            spans.setdefault(_storage(charge), set()).add(span)
    cuts = {number: sorted({end for span in found for end in span}) for number, found in spans.items()}
    uses = ParameterUses()
    for node, charged in enumerate(charges):
        for charge, nbytes in charged.items():
            number, span, name = _storage(charge), _span(charge, nbytes), values.name(_storage(charge))
            if span is None:
                uses.add(charge, node, nbytes, name)
                continue
            for start, end in _pieces(span, cuts[number]):
                uses.add((number, start), node, end - start, name)
    return uses


def unused_parameters(charges: Iterable[Charge], values: Values) -> dict[str, int]:
    """Return the sizes of the parameters and buffers that no charge is, or is a part or a result of, by name."""
    used = {_storage(charge) for charge in charges} | values.read_by_python
    origins: set[int] = set()
    for number, record in values.records():
        if number in used:
            origins |= record.parameters
    parameters = values.parameters.items()
    return {p.name: p.nbytes for number, p in parameters if number not in used and number not in origins}


def remarks_on_parameters(sizes: Mapping[Charge, int], values: Values, unused: int) -> list[str]:
    """Say how many bytes count of parameters of which only parts or smaller results are used, and how many of none.

    Parameters
    ----------
    sizes
        All charges, with their bytes.
    unused
        Bytes of all parameters that no node uses.
    """
    whole = {charge for charge in sizes if isinstance(charge, int)}
    counting: dict[str, int] = {}
    stored: dict[str, int] = {}
    for charge, nbytes in sizes.items():
        origins = values.origins(_storage(charge))
        largest = max(sorted(origins), key=lambda number: values.parameters[number].nbytes, default=None)
        if charge not in whole and largest is not None and largest not in whole:
            parameter = values.parameters[largest]
            counting[parameter.name] = counting.get(parameter.name, 0) + nbytes
            stored[parameter.name] = parameter.nbytes
    remarks = remark_on_parts(counting, stored, values.parameter_bytes)
    if unused > values.parameter_bytes // 1000:  # not the counters of batch normalisations
        remarks.append(f"{unused} bytes of parameters and buffers take no part in the outputs")
    return remarks


def _storage(charge: Charge) -> int:
    return charge if isinstance(charge, int) else charge.storage


def _span(charge: Charge, nbytes: int) -> Span | None:
    """Return the bytes that a charge covers, if they lie in one piece."""
    if isinstance(charge, int):
        return Span(0, nbytes)
    stride = 1
    for size, step in sorted(charge.dims, key=lambda dim: dim[1]):
        if not step:
            continue  # An expanded dimension: the same bytes again.
        if step != stride:
            return None
        stride *= size
    start = charge.offset * (nbytes // stride)
    return Span(start, start + nbytes)


def _pieces(span: Span, cuts: Sequence[int]) -> list[Span]:
    inner = cuts[bisect_left(cuts, span.start) : bisect_left(cuts, span.end) + 1]
    return [Span(start, end) for start, end in pairwise(inner)]

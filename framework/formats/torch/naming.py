"""Names of the nodes of a torch graph: the module that runs an operator, and the operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def distinct_labels(calls: Sequence[tuple[str, str]]) -> list[str]:
    """Return distinct names, numbered where a module runs an operator more than once.

    Parameters
    ----------
    calls
        The path of each node's module, and its operator with its namespace.
    """
    plain = [".".join(filter(None, (path, operator.partition(".")[2]))) for path, operator in calls]
    total, seen = Counter(plain), Counter[str]()
    taken = set(plain)
    labels = []
    for label in plain:
        if total[label] > 1:
            seen[label] += 1
            numbered = f"{label}.{seen[label]}"
            while numbered in taken:
                seen[label] += 1
                numbered = f"{label}.{seen[label]}"
            taken.add(numbered)
            labels.append(numbered)
        else:
            labels.append(label)
    return labels

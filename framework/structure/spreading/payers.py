"""Who pays for shared parameters in each row of the spreading program (`framework.structure.spreading.paths`)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from framework.model.instance import Instance
from framework.structure.pricing.network import Shape


class Payers:
    """Shapes in which one user pays for each shared parameter.

    Attributes
    ----------
    shape
        With the same users as in `Instance.charged`.
    """

    def __init__(self, shape: Shape, instance: Instance) -> None:
        self.shape = shape._replace(parameters=np.ascontiguousarray(instance.charged().parameter_cost))
        self._payer = instance.shared.payers(instance.work + instance.parameter_cost)
        self._ptr, self._used = instance.shared.of_nodes(instance.n)

    def at(self, root: int) -> Shape:
        """Return the shape in which a node pays for all that it uses, and the usual users for the rest."""
        used = self._used[self._ptr[root] : self._ptr[root + 1]]
        if not len(used):
            return self.shape
        parameters, cost = self.shape.parameters.copy(), self.shape.shared_cost[used]
        np.subtract.at(parameters, self._payer[used], cost)
        parameters[root] += cost.sum()
        return self.shape._replace(parameters=parameters)

    def between(self, start: int, stop: int) -> Iterator[tuple[int, int, Shape]]:
        """Yield ranges of roots, and the shape of each."""
        first = start
        for root in range(start, stop):
            if self._ptr[root + 1] > self._ptr[root]:
                if first < root:
                    yield first, root, self.shape
                yield root, root + 1, self.at(root)
                first = root + 1
        if first < stop:
            yield first, stop, self.shape

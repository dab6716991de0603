"""`brkga`: a biased random-key genetic algorithm over topological orders, as in Archer et al. (ICML 2024).

An individual is one random key per node. It is decoded by always placing the ready node with the smallest key
(`framework.structure.poset.topological_orders.orders_of_keys`) and slicing that order optimally
(`framework.structure.primal.slicing`); its fitness is the bottleneck. From one generation to the next the elite
survives, some individuals are drawn afresh, and the others inherit each key from a parent of the elite with the given
probability, else from one of the rest. Every topological order is the order of some keys, so the search can reach every
partition.

Validity: it proves no bound, and partitions are priced by the evaluator. The work is counted in evaluations, not in
seconds, so the same seed gives the same result. Sources: Gonçalves and Resende, J. Heuristics 2011; Archer et al.,
ICML 2024 (brkga-100 and brkga-10000). The shares of elite and fresh individuals and the bias are the usual ones;
the paper does not state its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

from framework.bounds import Incumbent, Limit, Outcome, Reason, Termination
from framework.contracts import Context, Feature
from framework.model.problem import Problem
from framework.registry import register_strategy
from framework.structure.primal.initial_interval import simple_bound

if TYPE_CHECKING:
    import numpy as np

    from framework.model.arrays import IntArray
    from framework.model.graph import FloatArray

FEATURES = (Feature.PRIMAL, Feature.ANYTIME, Feature.LIMITS, Feature.SHARED, Feature.UNEQUAL)
REFERENCE = "Archer et al., ICML 2024; Gonçalves and Resende, J. Heuristics 2011"


@register_strategy(
    "brkga",
    features=FEATURES,
    summary="Biased random-key genetic algorithm over topological orders, each sliced optimally",
    reference=REFERENCE,
    purpose="comparing searches: the paper's genetic algorithm with a population of one's own",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Brkga:
    """Evolve orders.

    Attributes
    ----------
    population
        Individuals in a generation.
    generations
        Generations, the random first one included.
    elite
        Share of a generation that survives as it is.
    fresh
        Share of the next generation that is drawn at random.
    bias
        Probability that a key comes from the elite parent.
    """

    name: ClassVar[str] = "brkga"

    population: int = 100
    generations: int = 100
    elite: float = 0.2
    fresh: float = 0.1
    bias: float = 0.7

    def __post_init__(self) -> None:
        if self.population < 2 or self.generations < 1:
            raise ValueError("population must be at least 2, generations at least 1")
        if not (0 < self.elite < 1 and 0 <= self.fresh < 1 and self.elite + self.fresh < 1):
            raise ValueError("elite and fresh must be shares that leave room for offspring")
        if not 0.5 <= self.bias <= 1:
            raise ValueError("bias must be 0.5 to 1")

    def run(self, problem: Problem, context: Context) -> Outcome:
        """Evolve until all generations are done or the context says stop."""
        import numpy as np

        rng = np.random.default_rng(context.seed)
        decoder = _Decoder(self.name, problem, context)
        elite = max(1, int(self.elite * self.population))
        keys, fitness = np.zeros((0, problem.instance.n)), np.zeros(0, np.int64)
        generation, floor = 0, simple_bound(problem)
        while generation < self.generations and not context.should_stop():
            if decoder.best is not None and decoder.best.value <= floor:
                break
            offspring = self._offspring(rng, keys, self.population - len(keys[:elite]), problem.instance.n)
            values = decoder.evaluate(offspring)
            if values is None:
                break
            # The elite of the generation before competes again; it need not be evaluated twice.
            keys = np.concatenate((keys[:elite], offspring))
            fitness = np.concatenate((fitness[:elite], values))
            order = np.argsort(fitness, kind="stable")
            keys, fitness = keys[order], fitness[order]
            generation += 1
        if decoder.best is not None and decoder.best.value <= floor:
            termination = Termination(reason=Reason.OPTIMAL)
        elif generation == self.generations:
            termination = Termination(reason=Reason.FINISHED)
        else:
            termination = Termination(reason=Reason.LIMIT, limit=Limit.TIME)
        return Outcome(
            incumbent=decoder.best,
            termination=termination,
            details={"generations": generation, "evaluations": decoder.evaluations, "orders": len(decoder.known)},
        )

    def _offspring(self, rng: np.random.Generator, keys: FloatArray, count: int, n: int) -> FloatArray:
        """Return the keys of `count` new individuals; `keys` are the parents, best first, if there are any."""
        import numpy as np

        if not len(keys):
            return rng.random((count, n))
        elite = max(1, int(self.elite * self.population))
        fresh = int(self.fresh * self.population)
        children = count - fresh
        better = keys[rng.integers(0, elite, children)]
        other = keys[rng.integers(elite, len(keys), children)]
        crossed: FloatArray = np.where(rng.random((children, n)) < self.bias, better, other)
        return np.concatenate((crossed, rng.random((fresh, n))))


@register_strategy(
    "brkga-100",
    features=FEATURES,
    summary="The paper's small genetic search: 10 generations of 10 orders",
    reference=REFERENCE,
    purpose="reproducing the paper's tables: a hundredth of the evaluations of `brkga-10000`",
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Brkga100(Brkga):
    """`brkga` with 100 evaluations."""

    name: ClassVar[str] = "brkga-100"

    population: int = 10
    generations: int = 10


@register_strategy(
    "brkga-10000",
    features=FEATURES,
    summary="The paper's large genetic search: 100 generations of 100 orders",
    reference=REFERENCE,
)
@dataclass(frozen=True, slots=True, kw_only=True)
class Brkga10000(Brkga):
    """`brkga` with 10000 evaluations."""

    name: ClassVar[str] = "brkga-10000"


class _Decoder:
    """Turns keys into bottlenecks, and remembers those of the orders it has sliced.

    Attributes
    ----------
    best
        The best partition so far.
    evaluations
        Individuals evaluated.
    known
        Bottleneck in ticks by digest of the order: as a population converges, its orders repeat.
    """

    def __init__(self, name: str, problem: Problem, context: Context) -> None:
        self._name, self._problem, self._context = name, problem, context
        self.best: Incumbent | None = None
        self.evaluations = 0
        self.known: dict[bytes, int] = {}

    def evaluate(self, keys: FloatArray) -> IntArray | None:
        """Return the bottleneck of each row of keys, in ticks; None if the context struck."""
        import numpy as np

        from framework.structure.poset.topological_orders import orders_of_keys

        values = []
        for row in range(len(keys)):
            # One row at a time where the graph is large, so that the context is asked often enough.
            if row % self._rows_at_a_time == 0:
                if self._context.should_stop():
                    return None
                orders = orders_of_keys(self._problem.instance, keys[row : row + self._rows_at_a_time])
            value = self._value(orders[row % self._rows_at_a_time])
            if value is None:
                return None
            self.evaluations += 1
            values.append(value)
        return np.array(values, np.int64)

    @property
    def _rows_at_a_time(self) -> int:
        return max(1, 100_000 // self._problem.instance.n)

    def _value(self, order: IntArray) -> int | None:
        from framework.structure.unequal.slicing import slicer_of

        digest = blake2b(order.tobytes(), digest_size=16).digest()
        if digest not in self.known:
            if self._context.should_stop():
                return None
            slicer = slicer_of(self._problem.instance, order)
            sliced = slicer.solve(self._problem.useful_stages, should_stop=self._context.should_stop)
            if sliced is None:
                if self._problem.instance.stage_limit is None or self._context.should_stop():
                    return None
                # No slicing of this order obeys the hard limit: worse than any that does.
                self.known[digest] = self._problem.instance.largest_cost + 1
                return self.known[digest]
            self.known[digest] = sliced.value
            if self.best is None or sliced.value < self.best.value:
                self.best = Incumbent(value=sliced.value, partition=sliced.partition, source=self._name)
                self._context.report_partition(sliced.partition)
        return self.known[digest]

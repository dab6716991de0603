"""Fast heuristics for partitions: optimal slicing of an order, annealing, and the initial interval of a run."""

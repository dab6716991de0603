"""Partitions found fast: cuts of one order, annealing, and the first interval of any run."""

"""Smaller problems with the same answer: contraction, dominance, symmetry, hard limits as shapes of the graph."""

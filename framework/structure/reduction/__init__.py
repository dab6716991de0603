"""Reductions to smaller problems: contraction, dominance, symmetry breaking, hard limits, coarsening."""

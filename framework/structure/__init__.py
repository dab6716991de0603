"""Combinatorial tools on an instance: orders, closure, contraction, reductions, slicing, ideals, cuts."""

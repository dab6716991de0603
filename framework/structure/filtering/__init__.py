"""Cost-based filtering: states that forward and backward values of the chain relaxation rule out at a threshold."""

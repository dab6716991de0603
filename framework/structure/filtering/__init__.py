"""Cost-based filtering: what forward and backward values of the chain relaxation rule out at a threshold."""

"""Tools to test formulations with: random instances and a brute-force optimum."""

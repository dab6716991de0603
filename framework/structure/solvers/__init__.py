"""Interfaces to external solvers: linear and mixed-integer programs, CP-SAT, and safe dual bounds."""

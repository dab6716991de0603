"""Other people's solvers behind one face each: linear and mixed-integer programs, CP-SAT, and safe dual bounds."""

"""Mixed-integer, constraint and conic models of the whole problem, and what they share."""

"""The chain relaxation: a dynamic program over a core of the graph, with everything beside it fractional."""

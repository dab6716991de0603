"""The lattice of ideals (down-sets) of a graph, and dynamic programs over it."""

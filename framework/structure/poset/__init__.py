"""The partial order of the nodes: closure, width, topological orders, and the stages each node may be in."""

"""The chain relaxation: a dynamic program over the ideals of a core of the graph; all other nodes are divisible."""

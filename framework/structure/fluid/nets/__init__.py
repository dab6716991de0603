"""Nets: what is left of the tensors of an instance when some of its nodes are taken out of them."""

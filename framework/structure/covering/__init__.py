"""Covering bounds: how many stages a threshold needs, from prices of nodes and anchors."""

"""Pricing one stage: the cheapest or most valuable convex set that holds given nodes."""

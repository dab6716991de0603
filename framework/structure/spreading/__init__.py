"""Spreading metrics: a linear program over distances, by cutting planes."""

"""Figures: stages of a result, graphs, recommendations."""

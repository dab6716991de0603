"""Exported torch programs in deployment: measuring them, cutting them into stages, running the stages."""

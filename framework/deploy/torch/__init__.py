"""Exported torch programs in deployment: measuring them, cutting them into stages, running the stages."""

# Before torch is imported: keeps it from warning that triton is missing.
from framework.formats.torch.export import files as files

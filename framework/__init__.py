"""pipebound: split a neural network into pipeline stages, and prove how good the split is."""

__version__ = "0.2.0"

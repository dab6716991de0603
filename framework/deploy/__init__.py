"""From a partition to running stages: split a model file, measure it, run its stages as a pipeline."""

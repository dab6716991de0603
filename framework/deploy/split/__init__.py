"""Splitting a model file: which node goes where, one file a stage, the manifest."""

"""Proof logs of results, for `framework.proof` to check."""

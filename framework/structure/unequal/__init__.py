"""Exact programs where stages run on different devices."""

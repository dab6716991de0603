"""The nested-cut relaxation: one minimum cut over all stages, branching, and rounding."""

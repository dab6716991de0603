"""Running the stages of a split, in turn or as processes, and judging their results."""

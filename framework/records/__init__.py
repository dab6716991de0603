"""The best that is known of each graph of the testbed: partitions, dual bounds, and how better ones get in."""

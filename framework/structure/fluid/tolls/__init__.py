"""Lower bounds on transfers between divisible nodes and the core nodes that they feed, which are in no net."""

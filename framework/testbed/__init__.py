"""The public testbed: graphs shipped with the package, and their catalogue."""

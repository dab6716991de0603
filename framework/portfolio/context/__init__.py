"""What an entry sees of a run: the board and the contexts that report to it."""

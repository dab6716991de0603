"""Running entries: the board they share, members in their own processes, one budget over everything."""

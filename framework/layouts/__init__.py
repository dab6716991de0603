"""Splits as other tools make and read them: named, read, judged against the proven bound, and written."""

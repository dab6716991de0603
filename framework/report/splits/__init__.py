"""Splits as people look at them: judged, explained, and drawn on a page."""

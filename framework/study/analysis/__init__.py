"""What the runs of a study say: arrays, summaries, profiles, curves, contradictions."""

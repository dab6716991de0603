"""Maximum flow in integers, minimum cuts of convex sets, and cuts as explanations."""

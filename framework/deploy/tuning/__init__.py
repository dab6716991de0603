"""Measuring and improving: profiles, corrected costs, the search of `refine`, recommendations."""

"""A plan in the languages that run it."""

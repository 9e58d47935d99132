"""L5: one run from start to end."""

"""L4: what is checked before any data is loaded."""

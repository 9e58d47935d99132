"""L3: compiled steps: an optional backend."""

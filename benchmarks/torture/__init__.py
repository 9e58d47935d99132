"""Whether a training survives being killed: ``python -m benchmarks.torture``."""

"""What several rooms of tests use: fixtures (as plugins, see tests/conftest.py) and settings."""

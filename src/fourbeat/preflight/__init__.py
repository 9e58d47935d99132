"""What is checked before any data is loaded."""

"""The project: data sets and models to copy, change and delete."""

"""L0: what every room may use: errors, console, files, random generators, process settings."""

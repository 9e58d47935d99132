"""The command line: arguments, checks, messages, exit codes. Imports no torch."""

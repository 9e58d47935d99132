"""What every room may use: errors, console, files, numbers and text, random generators."""

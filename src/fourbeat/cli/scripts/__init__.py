"""The scripts, one module each: keys, job and help."""

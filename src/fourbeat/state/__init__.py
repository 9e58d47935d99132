"""The state of a training: captured, written, read and restored, bitwise identical."""

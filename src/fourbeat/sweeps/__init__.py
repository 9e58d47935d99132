"""Sweeps: checked before the first job, and compared in one table after the last.

Nothing is imported here: every command asks :mod:`fourbeat.sweeps.callback` how its sweep went,
and the schema that the others need takes a third of the time of ``--help`` to import.
"""

"""Measure a run again: ``python scripts/eval.py run=last``."""

import sys

# Python looks for modules beside a script first, where inspect.py would be taken for its own.
if sys.path[0].endswith("scripts"):
    del sys.path[0]

from fourbeat.cli.scripts.eval import EVAL
from project import PROJECT

if __name__ == "__main__":  # Hydra completes the arguments of files that say @hydra.main
    EVAL.run(PROJECT)

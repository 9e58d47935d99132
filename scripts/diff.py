"""The first divergence between two runs: ``python scripts/diff.py run=A other=B``."""

import sys

# Python looks for modules beside a script first, where inspect.py would be taken for its own.
if sys.path[0].endswith("scripts"):
    del sys.path[0]

from fourbeat.cli.scripts.diff import DIFF
from project import PROJECT

if __name__ == "__main__":  # Hydra completes the arguments of files that say @hydra.main
    DIFF.run(PROJECT)

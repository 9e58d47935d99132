"""Write a run's weights for others to read: ``python scripts/export.py run=last file=model.pt``."""

import sys

# Python looks for modules beside a script first, where inspect.py would be taken for its own.
if sys.path[0].endswith("scripts"):
    del sys.path[0]

from fourbeat.cli.scripts.export import EXPORT
from project import PROJECT

if __name__ == "__main__":  # Hydra completes the arguments of files that say @hydra.main
    EXPORT.run(PROJECT)

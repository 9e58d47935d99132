"""Replay a step of a run, and show each layer: ``python scripts/replay.py run=last step=47``."""

import sys

# Python looks for modules beside a script first, where inspect.py would be taken for its own.
if sys.path[0].endswith("scripts"):
    del sys.path[0]

from fourbeat.cli.scripts.replay import REPLAY
from project import PROJECT

if __name__ == "__main__":  # Hydra completes the arguments of files that say @hydra.main
    REPLAY.run(PROJECT)

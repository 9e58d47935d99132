"""Play a step of a run again: ``python scripts/replay.py run=last step=47``."""

import sys

# Python looks for modules beside a script first, where inspect.py would be taken for its own.
if sys.path[0].endswith("scripts"):
    del sys.path[0]

import hydra
from omegaconf import DictConfig

from fourbeat import cli


@hydra.main(version_base="1.3", config_path="../conf", config_name="replay")
def main(cfg: DictConfig) -> None:
    """Play up to one step again and print what it was like."""
    cli.replay_job(cfg)


if __name__ == "__main__":
    cli.run(main, "replay")

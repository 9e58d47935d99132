"""Say where two runs part, and why: ``python scripts/diff.py run=last other=RUN_FOLDER``."""

import sys

# Python looks for modules beside a script first, where inspect.py would be taken for its own.
if sys.path[0].endswith("scripts"):
    del sys.path[0]

import hydra
from omegaconf import DictConfig

from fourbeat import cli


@hydra.main(version_base="1.3", config_path="../conf", config_name="diff")
def main(cfg: DictConfig) -> None:
    """Compare two runs, and exit with 1 if they part."""
    cli.diff_job(cfg)


if __name__ == "__main__":
    cli.run(main, "diff")

"""Measure a run again from its folder: ``python scripts/eval.py run=last``."""

import sys

# Python looks for modules beside a script first, where inspect.py would be taken for its own.
if sys.path[0].endswith("scripts"):
    del sys.path[0]

import hydra
from omegaconf import DictConfig

from fourbeat import cli


@hydra.main(version_base="1.3", config_path="../conf", config_name="eval")
def main(cfg: DictConfig) -> None:
    """Measure one checkpoint on one split."""
    cli.eval_job(cfg)


if __name__ == "__main__":
    cli.run(main, "eval")

"""Train a model: ``python scripts/train.py optim=adamw``; ``--help`` shows the rest."""

import sys

# Python looks for modules beside a script first, where inspect.py would be taken for its own.
if sys.path[0].endswith("scripts"):
    del sys.path[0]

import hydra
from omegaconf import DictConfig

from fourbeat import cli


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Train once, or once for each job of a multirun."""
    return cli.train_job(cfg)


if __name__ == "__main__":
    cli.run(main, "train")

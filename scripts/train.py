"""Train a model: ``python scripts/train.py optim=adamw``; ``--help`` shows the rest."""

import hydra
from omegaconf import DictConfig

from fourbeat import cli


@hydra.main(version_base="1.3", config_path="../conf", config_name="train")
def main(cfg: DictConfig) -> float | None:
    """Train once, or once for each job of a multirun."""
    return cli.train_job(cfg)


if __name__ == "__main__":
    cli.run(main, "train")

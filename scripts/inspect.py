"""Stop a run at a step and look inside: ``python scripts/inspect.py run=last step=47``."""

import sys

# Python looks for modules beside a script first, where inspect.py would be taken for its own.
if sys.path[0].endswith("scripts"):
    del sys.path[0]

import hydra
from omegaconf import DictConfig

from fourbeat import cli


@hydra.main(version_base="1.3", config_path="../conf", config_name="inspect")
def main(cfg: DictConfig) -> None:
    """Play up to one step again and ask what to do there."""
    cli.inspect_job(cfg)


if __name__ == "__main__":
    cli.run(main, "inspect")

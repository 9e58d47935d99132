"""Small trainings, run for real."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fourbeat.training.components import Components
from fourbeat.training.running import run_fit
from support.project import build, compose

QUIET = ["logger=none", "callbacks.progress=none", "callbacks.model_checkpoint=null"]
# 92 samples for training: 12 batches of 8, the last one short.
SMALL = ["data=circles", "model=circles", "data.num_samples=130", "data.batch_size=8"]
SHORT = ["trainer=cpu", "trainer.max_epochs=2", "callbacks.early_stopping=null"]


@pytest.fixture
def fit_components(tmp_path: Path) -> Callable[..., Components]:
    """Train on a small data set with some overrides, and return its components."""

    def run(*overrides: str) -> Components:
        cfg = compose(*QUIET, *SMALL, *SHORT, *overrides)
        components = build(cfg, tmp_path)
        run_fit(cfg, components)
        return components

    return run

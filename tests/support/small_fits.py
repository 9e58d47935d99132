"""Small trainings, run for real."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fourbeat.preflight.checks import compose
from fourbeat.training.lifecycle import Components, run_fit
from fourbeat.training.training import build_components

QUIET = ["logger=none", "callbacks.progress=none", "callbacks.model_checkpoint=null"]
# 92 samples for training: 12 batches of 8, the last one short.
SMALL = ["data=circles", "model=circles", "data.num_samples=130", "data.batch_size=8"]
SHORT = ["trainer=cpu", "trainer.max_epochs=2", "callbacks.early_stopping=null"]


@pytest.fixture
def fit_parts(tmp_path: Path) -> Callable[..., Components]:
    """Train on a small data set with some overrides, and return what took part."""

    def run(*overrides: str) -> Components:
        cfg = compose(*QUIET, *SMALL, *SHORT, *overrides)
        parts = build_components(cfg, tmp_path)
        run_fit(cfg, parts, None)
        return parts

    return run

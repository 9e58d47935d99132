"""Small trainings, run for real."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fourbeat.training.components import Components
from fourbeat.training.running import run_fit
from support.project import build, compose
from support.settings import BARE, CIRCLES, QUIET


@pytest.fixture
def fit_components(tmp_path: Path) -> Callable[..., Components]:
    """Train for two epochs on the circles with some overrides, and return the components."""

    def run(*overrides: str) -> Components:
        cfg = compose(*QUIET, *CIRCLES, *BARE, "trainer.max_epochs=2", *overrides)
        components = build(cfg, tmp_path)
        run_fit(cfg, components)
        return components

    return run

"""The engine's functions, bound to this repository's project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fourbeat
from fourbeat.config.schema import TrainConfig
from fourbeat.run import Run
from fourbeat.training.building import build_components
from fourbeat.training.components import Components
from project import PROJECT


def compose(*overrides: str) -> TrainConfig:
    """Compose a config of the project, and check it."""
    return fourbeat.compose(PROJECT, *overrides)


def build(cfg: TrainConfig, folder: Path) -> Components:
    """Build the components of a run as the project does."""
    return build_components(PROJECT, cfg, folder)


def train(cfg: TrainConfig, *args: Any, **kwargs: Any) -> Run:
    """Train a run of the project."""
    return fourbeat.train(PROJECT, cfg, *args, **kwargs)


def resume(run_dir: str | os.PathLike[str], *args: Any, **kwargs: Any) -> Run:
    """Resume a run of the project."""
    return fourbeat.resume(PROJECT, run_dir, *args, **kwargs)

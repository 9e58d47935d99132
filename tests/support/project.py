"""The engine's functions, bound to this repository's project."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

import fourbeat
from fourbeat.base.errors import Fault
from fourbeat.config import compose as composing
from fourbeat.config.schema import TrainConfig
from fourbeat.run import Run
from fourbeat.training.assembly import build_components
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


def evaluate(run_dir: str | os.PathLike[str], *args: Any, **kwargs: Any) -> dict[str, float]:
    """Evaluate a run of the project."""
    return fourbeat.evaluate(PROJECT, run_dir, *args, **kwargs)


def compose_config(overrides: Sequence[str] = (), config_name: str = "train") -> DictConfig:
    """Compose a config of the project, without its checks."""
    return composing.compose_config(PROJECT.conf_dir, overrides, config_name)


def compose_good(
    overrides: Sequence[str] = (), config_name: str = "train"
) -> tuple[DictConfig, list[Fault]]:
    """Compose a config of the project from the overrides that fit."""
    return composing.compose_good(PROJECT.conf_dir, overrides, config_name)

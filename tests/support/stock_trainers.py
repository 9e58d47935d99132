"""Lightning's own Trainer, without anything of ours."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Trainer


def stock_trainer(**flags: Any) -> Trainer:
    """Return a Trainer on the CPU that prints and writes nothing.

    Args:
        **flags: Lightning's.
    """
    return Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **flags,
    )

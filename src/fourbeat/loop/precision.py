"""Mixed precision with the beats in the right order: unscale, then clip, then step."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.plugins.precision import MixedPrecision as LightningMixedPrecision
from lightning.pytorch.utilities import GradClipAlgorithmType
from torch.optim import Optimizer

from fourbeat.lightning.torch_amp import found_infs, is_unscaled
from fourbeat.lightning.trainer import finish_closure


class MixedPrecision(LightningMixedPrecision):
    """Lightning's mixed precision, for both loops, on any device, with any optimizer.

    Differs from its base class in four things:

    - gradients are unscaled once, by whoever comes first: the module that is about to clip them,
      or the optimizer step. Lightning's manual optimization clips scaled gradients (norm 732,760
      instead of 11.18 in a trial), and its automatic one refuses to clip for fused optimizers.
    - :attr:`step_was_skipped` tells whether the scaler found a gradient that is not finite, so that
      the scheduler does not advance (Lightning issue 5558).
    - in manual optimization autocast covers what the module puts under it (forward and loss), not
      backward and step, as PyTorch's documentation recommends.
    - float16 on the CPU works: Lightning would silently fall back to bfloat16.

    Args:
        precision: ``16-mixed`` (float16 with a GradScaler) or ``bf16-mixed`` (no scaler needed).
        device: Device type for ``torch.autocast``, e.g. ``cpu`` or ``cuda``.
        manual: Whether the module uses manual optimization and enters ``forward_context`` itself.
    """

    def __init__(
        self, precision: Literal["16-mixed", "bf16-mixed"], device: str, *, manual: bool
    ) -> None:
        super().__init__(precision, device)
        self._manual = manual
        self._found_inf: list[torch.Tensor] = []

    @property
    def step_was_skipped(self) -> bool:
        """Whether the scaler skipped the latest optimizer step. Waits for the device on a GPU."""
        return any(bool(found.item()) for found in self._found_inf)

    @contextmanager
    def train_step_context(self) -> Generator[None, None, None]:
        """Autocast for a whole ``training_step``, unless the module does it beat by beat."""
        if self._manual:
            yield
        else:
            with self.forward_context():
                yield

    def unscale(self, optimizer: Optimizer) -> None:
        """Divide the gradients by the loss scale, unless that has been done since the last step.

        Args:
            optimizer: The raw optimizer, not Lightning's wrapper of it.
        """
        if self.scaler is None or is_unscaled(self.scaler, optimizer):
            return
        self.scaler.unscale_(optimizer)

    def optimizer_step(  # type: ignore[override]
        self,
        optimizer: Optimizer,
        model: LightningModule,
        closure: Callable[[], Any],
        **kwargs: Any,
    ) -> Any:
        """Run the closure (automatic: backward), unscale, clip, step, update the scale."""
        if self.scaler is None:
            return super().optimizer_step(optimizer, model=model, closure=closure, **kwargs)
        closure_result = closure()
        if closure_result is None and model.automatic_optimization:
            return None  # training_step returned None: there are no gradients to step with
        self.unscale(optimizer)
        finish_closure(self, model, optimizer)
        # The scaler forgets this when it updates.
        self._found_inf = found_infs(self.scaler, optimizer)
        result = self.scaler.step(optimizer, **kwargs)
        self.scaler.update()
        return result

    def clip_gradients(
        self,
        optimizer: Optimizer,
        clip_val: int | float = 0.0,
        gradient_clip_algorithm: GradClipAlgorithmType = GradClipAlgorithmType.NORM,
    ) -> None:
        """Clip gradients, which are unscaled by now, also those of fused optimizers."""
        super(LightningMixedPrecision, self).clip_gradients(
            optimizer, clip_val, gradient_clip_algorithm
        )

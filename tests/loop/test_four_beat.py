"""The order of the beats, and what must happen between backward and step."""

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from support.project import build, compose
from support.settings import BARE, CIRCLES, QUIET

from fourbeat.loop import FourBeatLoop, MixedPrecision
from fourbeat.training.components import Components
from fourbeat.training.running import run_fit

COMMON = [*QUIET, *CIRCLES, *BARE, "trainer.max_epochs=1"]


class Beats(Callback):
    """Writes down what happens, in order, with hooks of torch and Lightning alone."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        optimizer = trainer.optimizers[0]
        pl_module.net.register_forward_hook(lambda *_: self._note("forward", pl_module))
        pl_module.loss.register_forward_hook(lambda *_: self._note("loss", pl_module))
        trainer.optimizers[0].register_step_post_hook(lambda *_: self._note("step", pl_module))
        zero_grad = optimizer.zero_grad
        optimizer.zero_grad = lambda: (self._note("zero_grad", pl_module), zero_grad())[1]

    def _note(self, beat: str, module: LightningModule) -> None:
        if module.training:
            self.seen.append(beat)

    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.seen.append("backward")


def played(tmp_path: Path, *overrides: str) -> list[str]:
    cfg = compose(*COMMON, *overrides)
    components = build(cfg, tmp_path)
    components.trainer.callbacks.append(beats := Beats())
    run_fit(cfg, components, None)
    return beats.seen


def test_the_beats_are_forward_loss_zero_grad_backward_step(tmp_path: Path) -> None:
    beats = ["forward", "loss", "zero_grad", "backward", "step"]
    assert played(tmp_path, "loop=four_beat", "trainer.limit_train_batches=2") == beats * 2


def test_gradients_are_zeroed_and_stepped_once_a_group(tmp_path: Path) -> None:
    one = ["forward", "loss", "backward"]
    first = ["forward", "loss", "zero_grad", "backward"]
    seen = played(tmp_path, "trainer.limit_train_batches=5", "loop.accumulate_grad_batches=3")
    assert seen == [*first, *one, *one, "step", *first, *one, "step"]


class GradientNorms(Callback):
    """The norm of the gradients that the optimizer steps with."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        def note(*_: object) -> None:
            gradients = [p.grad for p in pl_module.net.parameters()]
            self.norms.append(torch.nn.utils.get_total_norm(gradients).item())

        trainer.optimizers[0].register_step_pre_hook(note)


@pytest.mark.one_in(4)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
@pytest.mark.parametrize("optim", ["adam", "momentum"])
@pytest.mark.parametrize("fused", ["true", "false"], ids=["fused", "unfused"])
def test_16_mixed_clips_the_unscaled_gradients(
    tmp_path: Path, loop: str, optim: str, fused: str
) -> None:
    cfg = compose(
        *COMMON,
        *(f"loop={loop}", f"optim={optim}", f"optim.fused={fused}"),
        *("trainer.precision=16-mixed", "loop.gradient_clip_val=0.01"),
    )
    components = build(cfg, tmp_path)
    components.trainer.callbacks.append(callback := GradientNorms())
    run_fit(cfg, components, None)
    # Each gradient of these data is above the bound, so each is clipped to it.
    assert callback.norms == pytest.approx([0.01] * 12, rel=1e-3)


def with_an_overflow(tmp_path: Path, loop: str, at_batch: int, *overrides: str) -> Components:
    """Train under 16-mixed with a loss scale that overflows at one batch."""
    cfg = compose(*COMMON, f"loop={loop}", "trainer.precision=16-mixed", *overrides)
    components = build(cfg, tmp_path)

    class Overflow(Callback):
        def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
            # Counted before the step.
            if trainer.global_step == at_batch:
                next(pl_module.net.parameters()).grad.fill_(float("inf"))

    components.trainer.callbacks.append(Overflow())
    run_fit(cfg, components, None)
    return components


@pytest.mark.one_in(3)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
@pytest.mark.parametrize("fused", ["true", "false"], ids=["fused", "unfused"])
def test_a_skipped_step_moves_neither_weights_nor_scheduler(
    tmp_path: Path, loop: str, fused: str
) -> None:
    overrides = ["scheduler=cosine", "trainer.limit_train_batches=4", f"optim.fused={fused}"]
    components = with_an_overflow(tmp_path, loop, 2, *overrides)
    (config,) = components.trainer.lr_scheduler_configs
    assert config.scheduler.last_epoch == 3
    assert all(torch.isfinite(p).all() for p in components.net.parameters())
    plugin = components.trainer.precision_plugin
    assert isinstance(plugin, MixedPrecision)
    assert plugin.scaler.get_scale() == 2.0**15


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_a_step_skipped_at_the_end_of_the_epoch_still_ends_it_for_the_scheduler(
    tmp_path: Path, loop: str
) -> None:
    overrides = ["scheduler=step", "trainer.limit_train_batches=3"]
    components = with_an_overflow(tmp_path, loop, 2, *overrides)
    (config,) = components.trainer.lr_scheduler_configs
    assert config.scheduler.last_epoch == 1


def test_backward_runs_outside_autocast(tmp_path: Path) -> None:
    seen = []

    class Autocast(Callback):
        def on_before_backward(self, trainer, pl_module, loss) -> None:
            seen.append(torch.is_autocast_enabled("cpu"))

    cfg = compose(*COMMON, "trainer.precision=bf16-mixed", "trainer.limit_train_batches=2")
    components = build(cfg, tmp_path)
    components.trainer.callbacks.append(Autocast())
    run_fit(cfg, components, None)
    assert seen == [False, False]


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_global_step_counts_optimizer_steps(
    fit_components: Callable[..., Components], loop: str
) -> None:
    components = fit_components(f"loop={loop}", "loop.accumulate_grad_batches=5")
    assert components.trainer.global_step == 6  # two epochs of 5 + 5 + 2 batches


@pytest.mark.one_in(2)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_max_steps_counts_optimizer_steps(
    fit_components: Callable[..., Components], loop: str
) -> None:
    components = fit_components(
        f"loop={loop}", "loop.accumulate_grad_batches=5", "trainer.max_steps=4"
    )
    assert components.trainer.global_step == 4


BEATS = [
    *("forward, loss", "self.zero_gradients(", "self.differentiate("),
    *("self.unscale_gradients(", "self.clip_gradients(", "self.update_weights("),
]


def test_all_beats_stand_in_their_order_in_one_method_that_fits_on_a_screen() -> None:
    source = inspect.getsource(FourBeatLoop.beats)
    assert len(source.splitlines()) <= 40
    places = [source.index(beat) for beat in BEATS]
    assert places == sorted(places)

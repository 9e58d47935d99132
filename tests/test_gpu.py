"""The promises on a GPU, where a kernel may add in another order each time: up to rounding.

Skipped where there is no GPU. What is promised bitwise is promised of the CPU.
"""

from pathlib import Path

import pytest
import torch
from support.project import build

import fourbeat
from project import PROJECT

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")

COMMON = ["trainer=gpu", "trainer.max_epochs=2", "callbacks.progress=none", "logger=none"]


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("optim", ["adam", "momentum"])
def test_both_loops_agree(tmp_path: Path, precision: str, optim: str) -> None:
    overrides = [f"trainer.precision={precision}", f"optim={optim}", "loop.gradient_clip_val=0.5"]
    runs = [
        fourbeat.train(
            PROJECT, fourbeat.compose(PROJECT, *COMMON, *overrides, f"loop={loop}"), tmp_path / loop
        )
        for loop in ("four_beat", "automatic")
    ]
    four_beat, automatic = (run.model.state_dict() for run in runs)
    assert next(iter(four_beat.values())).is_cuda
    torch.testing.assert_close(four_beat, automatic)


def test_optimizers_are_fused(tmp_path: Path) -> None:

    cfg = fourbeat.compose(PROJECT, *COMMON)
    module = build(cfg, tmp_path).module.to("cuda")
    assert module.build_optimizer(module.net).defaults["fused"]


@pytest.mark.parametrize(
    "overrides",
    [[], ["loop.accumulate_grad_batches=2"], ["loop=automatic"]],
    ids=["whole steps", "forward and loss", "automatic"],
)
def test_the_compiled_loop_agrees_with_the_eager_one(tmp_path: Path, overrides: list[str]) -> None:
    runs = [
        fourbeat.train(
            PROJECT,
            fourbeat.compose(PROJECT, *COMMON, *overrides, f"loop.compile={compiled}"),
            tmp_path / compiled,
        )
        for compiled in ("false", "true")
    ]
    eager, compiled = (run.model.state_dict() for run in runs)
    torch.testing.assert_close(compiled, eager, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("precision", ["32-true", "16-mixed"])
def test_a_resumed_run_agrees_with_the_uninterrupted_one(tmp_path: Path, precision: str) -> None:
    overrides = [*COMMON, "model.dropout=0.3", f"trainer.precision={precision}"]
    overrides += [
        "callbacks.model_checkpoint.every_n_train_steps=5",
        "callbacks.model_checkpoint.max_time_share=1",
    ]
    whole = fourbeat.train(PROJECT, fourbeat.compose(PROJECT, *overrides), tmp_path / "whole")
    part = fourbeat.train(
        PROJECT, fourbeat.compose(PROJECT, *overrides, "trainer.max_steps=17"), tmp_path / "part"
    )
    # The state before the last one: in the middle of an epoch.
    (part.dir / "checkpoints" / "last-1.ckpt").replace(part.dir / "checkpoints" / "last.ckpt")
    part = fourbeat.resume(PROJECT, part.dir, ["trainer.max_steps=-1"])
    torch.testing.assert_close(part.model.state_dict(), whole.model.state_dict())

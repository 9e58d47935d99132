"""A task that feeds metrics, where ``metrics=auto`` knows none for its data."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from support.project import compose, train
from torch import Tensor
from torch.nn.functional import cross_entropy

import fourbeat
from fourbeat.tasks.metrics import suggest_metric


class Points(fourbeat.Data):
    """Of which nobody but the task knows what is learned."""

    def dataset(self, split: Any) -> Any:
        points = torch.randn(24, 2, generator=torch.Generator().manual_seed(len(split)))
        return [{"point": each, "side": int(each[0] > 0)} for each in points]


class WhichSide(fourbeat.Task):
    def losses(self, batch: Any) -> Tensor:
        logits = self.net(batch["point"])
        self.update_metrics(logits, batch["side"])
        return cross_entropy(logits, batch["side"])


OF_DIGITS = ("image_size", "test_fraction", "val_fraction", "split_seed", "normalize", "on_device")
WORDS = (
    *(f"data._target_={__name__}.Points", f"task._target_={__name__}.WhichSide"),
    *(f"~data.{key}" for key in OF_DIGITS),
    *("model.in_features=2", "model.out_features=2", "trainer=cpu", "trainer.max_epochs=1"),
    *("logger=none", "callbacks.progress=none"),
)


def test_a_line_names_one_that_works(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(compose(*WORDS), tmp_path / "auto")
    (line,) = [n for n in "".join(capsys.readouterr()).splitlines() if "measures nothing" in n]
    (said,) = re.findall(r"'(\+metrics\.\S+)'", line)
    assert "test/accuracy" in train(compose(*WORDS, said), tmp_path / "said").metrics
    train(compose(*WORDS, "metrics=none"), tmp_path / "none")
    assert "measures nothing" not in "".join(capsys.readouterr())


@pytest.mark.parametrize(
    ("outputs", "targets", "override"),
    [
        ((4,), torch.zeros(4).long(), "accuracy._target_=torchmetrics.classification.Binary"),
        ((4, 3, 5), torch.zeros(4, 5).long(), "num_classes:3,average:micro"),
        ((4, 1), torch.zeros(4, 1), "mae._target_=torchmetrics.MeanAbsoluteError"),
        ((4, 1), torch.zeros(4).long(), "NAME._target_=CLASS"),
    ],
    ids=["two classes", "classes of pixels", "numbers", "anything"],
)
def test_the_metric_that_is_named_fits_what_is_fed(
    outputs: tuple[int, ...], targets: Tensor, override: str
) -> None:
    assert override in suggest_metric(torch.zeros(outputs), targets)

"""A split's loss is that of its samples, whatever the size of the batches."""

from collections.abc import Callable

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from support.stock_trainers import stock_trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from fourbeat.loop import AutomaticLoop, FourBeatLoop
from fourbeat.tasks import Supervised

WEIGHTS = torch.tensor([0.2, 1.0, 3.0, 0.5])
GENERATOR = torch.Generator().manual_seed(0)
LABELS = torch.randint(0, 4, (23,), generator=GENERATOR)
TOKENS = torch.randint(0, 4, (23, 5), generator=GENERATOR)


class Scores(nn.Module):
    """Scores of four classes for each sample, or each of five tokens of one: ``[batch, 4, 5]``."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 4 * (num_tokens or 1))
        self.shape = (4, num_tokens) if num_tokens else (4,)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layer(inputs).unflatten(1, self.shape)


@pytest.mark.one_in(8)
@pytest.mark.filterwarnings("ignore:The '.*' does not have many workers")
@pytest.mark.parametrize("loop", [FourBeatLoop, AutomaticLoop, None], ids=["ours", "auto", "stock"])
@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (nn.CrossEntropyLoss(), LABELS),
        (nn.CrossEntropyLoss(weight=WEIGHTS), LABELS),
        (nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1), LABELS),
        (nn.CrossEntropyLoss(ignore_index=2), LABELS),
        (nn.CrossEntropyLoss(), TOKENS),
        (nn.CrossEntropyLoss(weight=WEIGHTS, ignore_index=0), TOKENS),
        (nn.CrossEntropyLoss(), TOKENS.where(TOKENS > 0, -100)),
        (nn.CrossEntropyLoss(weight=WEIGHTS), torch.eye(4)[LABELS]),
    ],
    ids=["plain", "weighted", "smooth", "ignoring", "tokens", "both", "padded", "probabilities"],
)
def test_cross_entropy_does_not_depend_on_the_batch_size(
    loss: nn.Module, targets: torch.Tensor, loop: Callable | None
) -> None:
    net = Scores(5 if targets.shape == TOKENS.shape else 0)
    inputs = torch.randn(23, 3, generator=torch.Generator().manual_seed(1))
    expected = loss(net(inputs), targets).item()
    for batch_size in (4, 7, 23):
        task = Supervised(net, loss)
        callbacks: list[Callback] = [loop(task, dict, None)] if loop else []
        loader = DataLoader(TensorDataset(inputs, targets), batch_size=batch_size)
        trainer = stock_trainer(callbacks=callbacks)
        (measured,) = trainer.validate(task, loader, verbose=False)
        assert measured["val/loss"] == pytest.approx(expected, rel=1e-5)

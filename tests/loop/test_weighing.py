"""Losses that are totals with weights: what is accumulated is divided by the sum of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from programs.catalogue import CONF
from programs.tagger import Corpus, LSTMTagger, Tagging
from support.project import build, compose
from support.settings import BARE, QUIET
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from fourbeat.base.errors import ConfigError
from fourbeat.training.running import run_fit

PROGRAM = (*QUIET, *BARE, f"hydra.searchpath=['file://{CONF}']", "experiment=tagger")
SETTINGS = (
    *("+data.shuffle=false", "optim=sgd", "optim.lr=0.5", "loop.gradient_clip_val=null"),
    *("trainer.max_epochs=1", "loop.accumulate_grad_batches=5"),
    "metrics.accuracy=null",  # which refuses a batch without a label
)


class WithEmpty(Corpus):
    """The words of the first batch count for nothing."""

    def dataset(self, split: str) -> Any:
        samples = super().dataset(split)
        return [(w, t.fill_(-100) if i < 8 else t) for i, (w, t) in enumerate(samples)]


class Several(Tagging):
    def losses(self, batch: Any) -> Any:
        return {"tags": super().losses(batch), "size": self.net.tags.weight.norm()}


def groups(items: list[Any], size: int) -> list[list[Any]]:
    return [items[first : first + size] for first in range(0, len(items), size)]


def by_hand(net: nn.Module, data: Corpus) -> None:
    """Each step's gradient is that of the sum of all totals over the sum of all weights."""
    batches = [data.collate(each) for each in groups(data.dataset("train"), 8)]
    for group in groups(batches, 5):
        scores = [net(batch.words, batch.lengths) for batch in group]
        pairs = zip(scores, (batch.tags for batch in group), strict=True)
        total = sum(cross_entropy(s.mT, t, reduction="sum") for s, t in pairs)
        net.zero_grad()
        (total / sum((batch.tags != -100).sum() for batch in group)).backward()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter -= 0.5 * parameter.grad


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
def test_accumulated_totals_are_divided_by_the_sum_of_their_weights(
    tmp_path: Path, loop: str
) -> None:
    data = "data._target_=loop.test_weighing.WithEmpty"
    components = build(compose(*PROGRAM, *SETTINGS, data, f"loop={loop}"), tmp_path)
    expected = LSTMTagger()
    expected.load_state_dict(components.net.state_dict())
    by_hand(expected, WithEmpty(batch_size=8))
    run_fit(compose(*PROGRAM, *SETTINGS, data, f"loop={loop}"), components)
    assert close(components.net.parameters(), expected.parameters())


def close(found: Iterator[Tensor], expected: Iterator[Tensor]) -> bool:
    pairs = zip(found, expected, strict=True)
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-6) for a, b in pairs)


def test_a_mean_beside_other_losses_cannot_be_accumulated() -> None:
    words = ("task._target_=loop.test_weighing.Several", "loop.accumulate_grad_batches=2")
    with pytest.raises(ConfigError) as refused:
        compose(*PROGRAM, *words)
    (fault,) = refused.value.faults
    assert (fault.code, fault.key, fault.value) == (
        *("impossible-together", "loop.accumulate_grad_batches"),
        "2",
    )
    assert "tags, size" in fault.allowed

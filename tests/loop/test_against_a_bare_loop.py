"""The reference that owes us nothing: the tutorial's loop, written out in plain PyTorch."""

from collections.abc import Callable

import pytest
import torch
from support.project import compose
from support.settings import CIRCLES
from torch import nn

from fourbeat.config.leaves import instantiate
from fourbeat.tasks import OneLogit
from fourbeat.training.components import Components


def bare_loop(clip: float | None, accumulate: int, momentum: float) -> dict[str, torch.Tensor]:
    """Forward, loss, zero_grad, backward, clip, step: two epochs of 12 batches, the last short."""
    cfg = compose(*CIRCLES)
    data = instantiate(cfg.data.leaf())
    data.setup("fit")
    torch.manual_seed(cfg.seed)
    net, loss_fn = instantiate(cfg.model.leaf()), OneLogit(nn.BCEWithLogitsLoss())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=momentum, fused=True)
    for epoch in range(2):
        loader = data.train_dataloader()
        loader.sampler.set_epoch(epoch)
        batches = list(loader)
        for start in range(0, len(batches), accumulate):
            group = batches[start : start + accumulate]
            optimizer.zero_grad()
            for inputs, targets in group:
                (loss_fn(net(inputs), targets) / len(group)).backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(net.parameters(), clip)
            optimizer.step()
    return net.state_dict()


@pytest.mark.one_in(99)
@pytest.mark.parametrize("loop", ["four_beat", "automatic"])
@pytest.mark.parametrize("clip", [None, 0.05], ids=["unclipped", "clipped"])
@pytest.mark.parametrize("accumulate", [1, 4], ids=["single", "accumulated"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_training_is_bitwise_the_bare_loop(
    fit_components: Callable[..., Components],
    loop: str,
    clip: float | None,
    accumulate: int,
    momentum: float,
) -> None:
    components = fit_components(
        f"loop={loop}",
        "optim=momentum",
        "optim.lr=0.01",
        f"optim.momentum={momentum}",
        f"loop.gradient_clip_val={'null' if clip is None else clip}",
        f"loop.accumulate_grad_batches={accumulate}",
    )
    expected = bare_loop(clip, accumulate, momentum)
    trained = components.net.state_dict()
    assert [name for name in expected if not torch.equal(expected[name], trained[name])] == []


@pytest.mark.slow
def test_a_short_last_group_is_divided_by_its_real_size(
    fit_components: Callable[..., Components],
) -> None:
    """12 batches in groups of 5: the last has 2, and 1/5 of them would be another training."""
    components = fit_components(
        "optim=momentum", "optim.lr=0.01", "optim.momentum=0", "loop.accumulate_grad_batches=5"
    )
    trained = components.net.state_dict()
    expected = bare_loop(None, 5, 0.0)
    assert all(torch.allclose(expected[n], trained[n], rtol=1e-5, atol=1e-7) for n in expected)

"""What the seam needs of DistributedDataParallel, and of Lightning's strategy around it."""

from __future__ import annotations

import torch
from lightning.pytorch.strategies import DDPStrategy
from support.contracts import Seam, contract
from support.stock_trainers import stock_trainer
from torch import nn
from torch.nn.parallel import DistributedDataParallel

distributed = Seam("distributed")

SEE = "lightning/pytorch/strategies/ddp.py"


@contract("lightning", "DDPStrategy passes _ddp_kwargs on to DDP", see=SEE)
def test_unused_parameters_are_looked_for_once_that_is_set() -> None:
    trainer = stock_trainer(strategy="ddp", devices=2)
    assert distributed.finds_unused_parameters(trainer) is False
    distributed.find_unused_parameters(trainer)
    assert distributed.finds_unused_parameters(trainer) is True
    named = stock_trainer(strategy=DDPStrategy(find_unused_parameters=True), devices=2)
    assert named.strategy._ddp_kwargs == trainer.strategy._ddp_kwargs
    assert distributed.finds_unused_parameters(stock_trainer()) is None


@contract("torch", "DDP copies buffers where require_forward_param_sync says so", see="DDP")
def test_buffers_are_broadcast_again(tmp_path: object) -> None:
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        trainer = stock_trainer()
        model = trainer.strategy.model = DistributedDataParallel(nn.BatchNorm1d(2))
        model.require_forward_param_sync = False
        assert not model._check_sync_bufs_pre_fwd()
        distributed.broadcast_buffers(trainer)
        assert model._check_sync_bufs_pre_fwd()
    finally:
        torch.distributed.destroy_process_group()
